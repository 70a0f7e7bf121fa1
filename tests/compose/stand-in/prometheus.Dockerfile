FROM debian:trixie-slim
# The very program, at the official image's paths, and for its user.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus \
    && rm -rf /var/lib/apt/lists/* /etc/prometheus/* && install -d -o nobody -g nogroup /prometheus
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["/bin/prometheus"]
