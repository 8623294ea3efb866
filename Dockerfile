# Pointsman, the stand-ins of the model system, and BIND: the image of every container of docker-compose.yml that is no
# official one.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package pointsman --package lab

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends bind9 bind9-utils bind9-dnsutils nftables postgresql-client \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/pointsman /src/target/release/lab-standin /usr/local/bin/
CMD ["pointsman", "serve"]
