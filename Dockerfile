# One image for the whole Studio, one mode, the router alone, or a machine of a Ray cluster; docs/deploy.md says how.
#   docker build --target cuda --build-arg WAN_GIT_SHA=$(git rev-parse HEAD) --tag wan-studio:cuda .
#   docker build --target cpu  --build-arg WAN_GIT_SHA=$(git rev-parse HEAD) --tag wan-studio:cpu  .
ARG PYTHON=python:3.12-slim-bookworm

FROM ${PYTHON} AS base
# As process 1, Python would be sent no signal that it has no handler for: tini hands them on, and reaps.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/*
# Kubernetes sees by a number alone that this is not root. A named volume takes over the owner of what it covers.
RUN useradd --uid 1000 --create-home wan \
 && install --directory --owner=wan --group=wan /weights /data
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HF_HOME=/weights/hub WAN_STUDIO_CACHE=/data/cache WAN_STATE=/data/state GRADIO_TEMP_DIR=/data/files \
    GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 GRADIO_SSR_MODE=False GRADIO_ANALYTICS_ENABLED=False
WORKDIR /app
# Before the code, so that an edit of that installs nothing anew.
COPY pyproject.toml constraints.txt ./
VOLUME ["/weights", "/data"]
EXPOSE 7860
HEALTHCHECK --start-period=10m --interval=30s --timeout=10s --retries=5 \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/gradio_api/app_id', timeout=8)"]
ENTRYPOINT ["tini", "--"]
CMD ["wan-studio", "studio", "--host", "0.0.0.0"]

FROM base AS cpu
# PyPI's torch for Linux is the one with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=""
RUN pip install --no-deps --constraint constraints.txt --index-url "$TORCH_INDEX" torch
RUN python -c "import sys, tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *(line for extra in sys.argv[1:] for line in p['optional-dependencies'][extra]), sep='\n')" $EXTRAS > /tmp/requirements.txt \
 && pip install --constraint constraints.txt --requirement /tmp/requirements.txt
COPY . .
RUN pip install --no-deps --editable .
ARG WAN_GIT_SHA=""
ENV WAN_GIT_SHA=$WAN_GIT_SHA
USER 1000:1000

FROM base AS cuda
# torch brings CUDA's libraries itself, the host its driver: NVIDIA's images would hold the former twice. Triton wants
# a C compiler to compile for Hopper.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
ARG TORCH_INDEX=https://pypi.org/simple
ARG EXTRAS="hopper"
RUN pip install --no-deps --constraint constraints.txt --index-url "$TORCH_INDEX" torch
RUN python -c "import sys, tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *(line for extra in sys.argv[1:] for line in p['optional-dependencies'][extra]), sep='\n')" $EXTRAS > /tmp/requirements.txt \
 && pip install --constraint constraints.txt --requirement /tmp/requirements.txt
COPY . .
RUN pip install --no-deps --editable .
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG WAN_GIT_SHA=""
ENV WAN_GIT_SHA=$WAN_GIT_SHA
USER 1000:1000
