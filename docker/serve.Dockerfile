# kennel serve, as a container and as a Lambda function: docs/guide/containers.md
#
#   docker build -f docker/serve.Dockerfile -t kennel-serve .
#   docker build ... --build-context bundle=bundles/<id> --build-arg BUNDLE_ID=<id> .     with a bundle in it
#   docker build ... --secret id=pip.conf,src=pip.conf --secret id=ca.pem,src=ca.pem .    from a mirror of PyPI

FROM public.ecr.aws/awsguru/aws-lambda-adapter:1.1.0@sha256:17cfd08eff1dfea3f6a9a1e9c65fdac80aa4919b6085e746615530f43f57d2f1 AS adapter

# --build-context bundle=FOLDER takes this stage's place.
FROM scratch AS bundle
COPY docker/no-bundle.md /README.md

FROM docker.io/library/python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254 AS python
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

# What is installed: every file by its hash in locks/, the build's own tools among them.
FROM python AS build
WORKDIR /build
COPY locks/build.lock locks/serve.lock locks/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem,target=/etc/ca.pem \
    python -m venv --without-pip /opt/build \
 && python -m venv --without-pip /opt/kennel \
 && python -m pip --python /opt/build/bin/python install --no-deps -r locks/build.lock \
 && python -m pip --python /opt/kennel/bin/python install --no-deps -r locks/serve.lock
# <kennel>
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY docker/lean.py docker/
# Without the files that kennel init makes projects of: those are for who installs Kennel.
RUN HATCH_BUILD_NO_HOOKS=true /opt/build/bin/python -m hatchling build -t wheel -d /wheel \
 && python -m pip --python /opt/kennel/bin/python install --no-deps --no-index /wheel/*.whl \
 && python docker/lean.py serving /opt/kennel
# </kennel>
# <project>
#| COPY kennel.txt ./
#| COPY wheels wheels
#| COPY docker/lean.py docker/
#| RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem,target=/etc/ca.pem \
#|     python -m pip --python /opt/kennel/bin/python install --no-deps -r kennel.txt \
#|  && python docker/lean.py serving /opt/kennel
# </project>

# The system and its Python, without what installs and without programs that run as root whoever starts them.
FROM python AS system
COPY docker/lean.py /tmp/
RUN groupadd --gid 1000 kennel \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin kennel \
 && python /tmp/lean.py interpreter \
 && rm /tmp/lean.py \
 && mkdir /bundles /work \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} +

# From nothing, so that what was taken out is in no layer either.
FROM scratch
# hadolint ignore=DL3067
COPY --from=system / /
COPY --from=adapter /lambda-adapter /opt/extensions/lambda-adapter
COPY --from=build /opt/kennel /opt/kennel
COPY --from=bundle --chmod=755 / /bundle/
ENV PATH=/opt/kennel/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/tmp \
    USER=kennel \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    KENNEL_SERVE_HOST=0.0.0.0 \
    KENNEL_SERVE_PORT=8080 \
    AWS_LWA_PORT=8080 \
    AWS_LWA_READINESS_CHECK_PATH=/ready \
    AWS_LWA_READINESS_CHECK_HEALTHY_STATUS=200-299
USER 1000:1000
WORKDIR /work
EXPOSE 8080
ARG SOURCE=""
ARG REVISION=""
ARG VERSION=""
ARG BUNDLE_ID=""
LABEL org.opencontainers.image.title="kennel-serve" \
      org.opencontainers.image.description="An image classifier over HTTP, with its page" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12-slim-bookworm" \
      com.amazonaws.lambda.feature.snapstart="Allow" \
      kennel.bundle_id="${BUNDLE_ID}"
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['KENNEL_SERVE_PORT']), timeout=4); c.request('GET', '/ready'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["kennel", "serve"]
CMD ["/bundle"]
RUN --mount=type=bind,source=docker/proof.py,target=/tmp/proof.py \
    WITHOUT="torch pip setuptools gcc cc curl" \
    python /tmp/proof.py kennel.cli.serve kennel.serve.workers kennel.serve.api kennel.serve.v2
