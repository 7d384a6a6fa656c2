# Two stages: build with the toolchain, run with nothing but the binary and the certificate authorities.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin mailsluice \
    && install -d -o mailsluice -g mailsluice -m 0700 /var/lib/mailsluice
COPY --from=build /source/target/release/mailsluice /usr/local/bin/mailsluice
USER mailsluice
WORKDIR /var/lib/mailsluice
# The queue, the counters and the captured mail. Nothing else is written, so the rest may be read-only.
ENV MAILSLUICE__DATA_DIR=/var/lib/mailsluice
VOLUME /var/lib/mailsluice
EXPOSE 2525
ENTRYPOINT ["mailsluice"]
CMD ["run"]
