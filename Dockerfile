# One image for every process of tailmetrics; the command says which. The base may be any image that has
# Python 3.10, 3.11 or 3.12 with venv, and glibc, for which the wheels are built.
ARG BASE_IMAGE=python:3.12.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock ./
RUN python3 -m venv /opt/build && \
    /opt/build/bin/pip install -c requirements.lock hatchling && \
    python3 -m venv --without-pip /opt/tailmetrics
COPY pyproject.toml README.md LICENSE ./
# What it depends on is a layer of its own, by way of an empty package, so that changed code installs itself only.
RUN install -D /dev/null src/tailmetrics/__init__.py && \
    /opt/build/bin/pip wheel --no-deps --no-build-isolation -w dist . && \
    /opt/build/bin/pip --python /opt/tailmetrics/bin/python install -c requirements.lock "$(echo dist/*.whl)[clickhouse,influxdb,kafka,mysql,postgresql,rabbitmq]" && \
    find /opt/tailmetrics '(' -name tests -o -name '*.c' ')' -prune -exec rm -r {} +
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation -w dist . && \
    /opt/build/bin/pip --python /opt/tailmetrics/bin/python install --no-deps --force-reinstall dist/*.whl

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
COPY --from=build /opt/tailmetrics /opt/tailmetrics
# A named volume takes over the owner of the folder on which it is mounted.
RUN install -d -o 10001 -g 10001 /logs
ENV PATH=/opt/tailmetrics/bin:${PATH} PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["tailmetrics"]
CMD ["--help"]
