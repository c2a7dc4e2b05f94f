# Two images:
#   docker build --tag snihub .                              the hub alone
#   docker build --tag trafficserver --target kubefate .     in the place of KubeFATE's Traffic Server

# Base images, for those who have them elsewhere.
ARG RUST=docker.io/library/rust:1.95-bookworm
ARG DEBIAN=docker.io/library/debian:bookworm-slim

FROM ${RUST} AS build
WORKDIR /source
COPY . .
# Static, so that it runs on no system at all.
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    triple=$(rustc --print host-tuple) \
    && cargo build --locked --release --bin snihub --target "$triple" \
    && install -D "target/$triple/release/snihub" /out/snihub \
    && strip --strip-debug /out/snihub

# What the two images have that no file of the source is.
FROM ${DEBIAN} AS layout
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libcap2-bin \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/snihub /capable/snihub
RUN setcap cap_net_bind_service=+ep /capable/snihub \
    && mkdir -p /empty

FROM ${DEBIAN} AS kubefate
RUN useradd --system --uid 65532 --user-group --no-create-home --shell /usr/sbin/nologin snihub \
    && install -d -o snihub -g snihub /run/snihub \
    && install -d /etc/trafficserver /opt/trafficserver/etc/trafficserver/sni
COPY --chmod=755 config/kubefate/ /opt/trafficserver/bin/
# With a capability in the file, so that a normal user listens on port 443. It needs NET_BIND_SERVICE
# among the container's capabilities, where runtimes put it unless they are told to drop all.
COPY --from=layout /capable/snihub /usr/local/bin/snihub
ENV PATH=/opt/trafficserver/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER 65532:65532
EXPOSE 443
HEALTHCHECK --interval=10s --timeout=5s CMD ["snihub", "status", "--live"]
CMD ["/opt/trafficserver/bin/traffic_manager"]

FROM scratch AS snihub
COPY --from=build /out/snihub /usr/local/bin/snihub
COPY config/container/hub.yaml /etc/snihub/hub.yaml
COPY --from=layout /empty /etc/snihub/routes
# The admin socket's folder, writable also where the root is not.
COPY --from=layout --chown=65532:65532 /empty /run/snihub
VOLUME /run/snihub
ENV PATH=/usr/local/bin
USER 65532:65532
# Clients, and who asks how the hub is.
EXPOSE 8443 9100
HEALTHCHECK --interval=10s --timeout=5s CMD ["snihub", "status", "--live"]
ENTRYPOINT ["snihub"]
CMD ["run"]
