FROM python:3.14-slim AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/hello
COPY requirements.txt ./
RUN pip --python /opt/hello/bin/python install --no-cache-dir --no-compile --only-binary :all: --require-hashes --requirement requirements.txt
COPY pyproject.toml LICENSE ./
COPY hello ./hello
RUN pip --python /opt/hello/bin/python install --no-cache-dir --no-compile --no-index --no-build-isolation --no-deps . \
    && pip --python /opt/hello/bin/python uninstall --yes flit-core \
    && find /opt/hello \( -name '*.py[ix]' -o -name '*.px[di]' -o -name '*.[ch]' \) -delete \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/hello

FROM python:3.14-slim
LABEL org.opencontainers.image.title="hello-counter" \
      org.opencontainers.image.description="The hello world of Kubernetes that proves the cluster works" \
      org.opencontainers.image.version="1.0.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.14-slim"
COPY --from=build /opt/hello /opt/hello
ENV PATH=/opt/hello/bin:$PATH \
    HELLO_STORE=sqlite:/data/hello.db
# The official image has no bytecode of the standard library: what the server imports is compiled here, not at each start.
RUN python -c "import hello.cli, hello.healthcheck, hello.server, hello.stores.redis.store, hello.stores.sqlite" \
    && install -d -o 65532 -g 0 -m 775 /data
# OpenShift, for one, runs it as a user of its own choice, in group 0.
VOLUME /data
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["python", "-I", "-m", "hello.healthcheck"]
ENTRYPOINT ["hello"]
CMD ["serve"]
