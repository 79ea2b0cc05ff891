# deepscan on the CPU:   docker build -t deepscan .
#                        docker run --rm --network none -v "$PWD/media:/media:ro" deepscan /media
FROM python:3.12-slim AS build
COPY . /source
RUN python -m venv /opt/deepscan && /opt/deepscan/bin/pip install --no-cache-dir /source

FROM python:3.12-slim
# OpenCV's build with windows, which InsightFace requires, links to these.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/deepscan /opt/deepscan
ENV PATH=/opt/deepscan/bin:$PATH PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home scanner
USER scanner
WORKDIR /home/scanner
ENTRYPOINT ["deepscan"]
CMD ["--help"]
