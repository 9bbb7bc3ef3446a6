# docker build -t oceanfill .
# docker run --rm -v "$PWD:/data" oceanfill fill your.nc -o filled.nc
FROM python:3.12-slim
COPY . /src
# the CPU build of torch: for a GPU, start from an image of PyTorch's with CUDA instead
RUN pip install --no-cache-dir --constraint /src/constraints.txt torch /src && rm -rf /src
WORKDIR /data
ENTRYPOINT ["oceanfill"]
