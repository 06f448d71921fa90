# kennel with all that trains, on a processor or a CUDA device: docs/guide/containers.md
#
#   docker build -f docker/train.Dockerfile -t kennel-train .
#   docker build ... --build-arg TORCH=cuda -t kennel-train:cuda .                        for a CUDA device
#   docker build ... --build-arg EXTRAS=train,data -t kennel-train:data .                 with other extras beside it
#   docker build ... --secret id=pip.conf,src=pip.conf --secret id=ca.pem,src=ca.pem .    from a mirror of PyPI

FROM docker.io/library/python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254 AS python

# What is installed: every file by its hash in locks/, the build's own tools among them. What has no wheel is built by those
# tools, without fetching others.
FROM python AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
ARG EXTRAS=train
ARG TORCH=cpu
# Where torch for the processor alone lies; PyPI has only the one that is linked against CUDA, and brings CUDA itself.
ARG TORCH_WHEELS=https://download.pytorch.org/whl/cpu/torch/
WORKDIR /build
COPY locks locks
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem,target=/etc/ca.pem \
    case "$TORCH" in \
      cpu) set -- --find-links "$TORCH_WHEELS" -r locks/torch-cpu.lock ;; \
      cuda) set -- -r locks/torch.lock ;; \
      *) echo "error: TORCH is '$TORCH'; it must be cpu or cuda." >&2; exit 1 ;; \
    esac \
 && IFS=, && for extra in $EXTRAS; do set -- "$@" -r "locks/$extra.lock"; done && unset IFS \
 && python -m venv --without-pip /opt/build \
 && python -m venv --without-pip /opt/kennel \
 && python -m pip --python /opt/build/bin/python install --no-deps -r locks/build.lock \
 && python -m pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation -w /wheels "$@" \
 && python -m pip --python /opt/kennel/bin/python install --no-deps --no-index /wheels/*.whl \
 && rm -r /wheels
# <kennel>
COPY pyproject.toml README.md LICENSE ./
COPY src src
# Without the files that kennel init makes projects of: those are for who installs Kennel.
RUN HATCH_BUILD_NO_HOOKS=true /opt/build/bin/python -m hatchling build -t wheel -d /wheel \
 && python -m pip --python /opt/kennel/bin/python install --no-deps --no-index /wheel/*.whl
# </kennel>
# <project>
#| COPY kennel.txt ./
#| COPY wheels wheels
#| RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem,target=/etc/ca.pem \
#|     python -m pip --python /opt/kennel/bin/python install --no-deps -r kennel.txt
# </project>

FROM python
# git says which commit a run is of. Debian signs its packages, and keeps no old version that could be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory /work \
 && groupadd --gid 1000 kennel \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin kennel \
 && install -d -o kennel -g kennel /work /bundles
COPY --from=build /opt/kennel /opt/kennel
ENV PATH=/opt/kennel/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/tmp \
    USER=kennel \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
WORKDIR /work
ARG SOURCE=""
ARG REVISION=""
ARG VERSION=""
ARG TORCH=cpu
LABEL org.opencontainers.image.title="kennel-train" \
      org.opencontainers.image.description="Trains, tunes, exports and measures image classifiers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12-slim-bookworm" \
      kennel.torch="${TORCH}"
# It works and ends; nobody waits for an answer.
HEALTHCHECK NONE
ENTRYPOINT ["kennel"]
CMD ["--help"]
RUN --mount=type=bind,source=docker/proof.py,target=/tmp/proof.py \
    WITHOUT="gcc cc" python /tmp/proof.py kennel.cli.train kennel.learn.train kennel.learn.export
