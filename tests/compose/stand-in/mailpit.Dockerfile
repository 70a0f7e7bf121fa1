FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-aiosmtpd \
    && rm -rf /var/lib/apt/lists/* && mkdir /data
COPY mailpit.py /mailpit
ENTRYPOINT ["/mailpit"]
