# One image for every role: docker build -t symphony .

FROM rust:1.95-slim-trixie AS build
WORKDIR /build
# Dependencies first, in a step of their own; what is compiled is kept in the builder's cache, so that neither another
# version of a dependency nor another source compiles everything again.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY core/Cargo.toml core/
COPY adapters/Cargo.toml adapters/
COPY node-linux/Cargo.toml node-linux/
COPY tests/Cargo.toml tests/
COPY tests/sim/Cargo.toml tests/sim/
RUN for member in core adapters node-linux tests tests/sim; do mkdir $member/src && touch $member/src/lib.rs; done \
    && echo 'fn main() {}' > node-linux/src/main.rs && sed -i '/^\[\[/,$d' tests/Cargo.toml
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --locked --profile image -p symphony
# Then the program. A stub is newer than the sources of a checkout may be: touched, they are newer. Packing the
# relocations saves almost two megabytes.
COPY core core
COPY adapters adapters
COPY node-linux node-linux
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    find core adapters node-linux -name '*.rs' -exec touch {} + \
    && cargo rustc --locked --profile image -p symphony --bin symphony -- -C link-arg=-Wl,-z,pack-relative-relocs \
    && cp target/image/symphony /symphony

FROM debian:trixie-slim
# Number, not name: Kubernetes checks it against runAsNonRoot.
RUN groupadd --gid 10001 symphony \
    && useradd --uid 10001 --gid symphony --no-create-home --home-dir /var/lib/symphony --shell /usr/sbin/nologin symphony \
    && install -d -o symphony -g symphony -m 700 /var/lib/symphony /var/lib/symphony/ftp
# For sites and servers with certificates of public authorities.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /symphony /usr/local/bin/symphony
USER 10001:10001
WORKDIR /var/lib/symphony
ENV SYMPHONY_LOG__FORMAT=json
STOPSIGNAL SIGTERM
# Of whichever role the container plays; the role's own entry in docker-compose.yml names it.
ENV SYMPHONY_HEALTH=web
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 CMD ["sh", "-c", "exec symphony health \"$SYMPHONY_HEALTH\""]
ENTRYPOINT ["symphony"]
