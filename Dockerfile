# moxi in an image that holds nothing else:
#
#     docker build -t moxi .
#     docker run --read-only -p 11211:11211 moxi -z 11211=memcached1:11211,memcached2:11211
#
# Without arguments it reads /etc/moxi/moxi.conf. It writes no file, so the root can be read-only, and logs to standard
# error. examples/compose.yaml and examples/kubernetes-sidecar.yaml show it at work.

ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    packaging/static tls \
 && packaging/image "target/static/moxi-$(uname -m)" /image

FROM scratch
LABEL org.opencontainers.image.title="moxi" \
      org.opencontainers.image.description="A proxy between applications and a memcached or Membase/Couchbase cluster" \
      org.opencontainers.image.licenses="BSD-3-Clause"
COPY --from=build /image/ /
# As a number, by which Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 11211
# For another port, or a unix socket: docker run --health-cmd, or healthcheck in a compose file.
HEALTHCHECK --interval=10s --timeout=7s --start-period=10s --retries=3 \
    CMD ["/usr/bin/moxi", "--check-alive", "127.0.0.1:11211"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/moxi"]
CMD ["-z", "/etc/moxi/moxi.conf"]
