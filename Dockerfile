# CPU:  docker build -t hpastack .
# CUDA: docker build -t hpastack:cuda --build-arg EXTRAS=cnn,report,parquet .
#       docker run --gpus all -v "$PWD:/work" hpastack:cuda extract --workspace /work
# torch's wheels bring the CUDA libraries; the host needs the NVIDIA driver and its container toolkit.
FROM python:3.11-slim

ARG EXTRAS=report,parquet,excel

# OpenMP, which LightGBM and XGBoost load.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN pip install --no-cache-dir -c /src/constraints.txt "/src[${EXTRAS}]" && rm -rf /src

WORKDIR /work
ENTRYPOINT ["hpastack"]
CMD ["--help"]
