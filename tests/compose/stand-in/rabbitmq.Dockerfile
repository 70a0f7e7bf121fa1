FROM debian:trixie-slim
# Ids, folders and variables are those of the official image.
RUN groupadd --system --gid 999 rabbitmq \
    && useradd --system --uid 999 --gid rabbitmq --home-dir /var/lib/rabbitmq --no-create-home rabbitmq \
    && printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
    && apt-get update -qq && apt-get install -y -qq --no-install-recommends rabbitmq-server \
    && rm -rf /var/lib/apt/lists/* /var/lib/rabbitmq /etc/rabbitmq/* \
    && mkdir -p /etc/rabbitmq/conf.d /var/log/rabbitmq && install -d -o rabbitmq -g rabbitmq -m 777 /var/lib/rabbitmq \
    && rabbitmq-plugins enable --offline rabbitmq_management rabbitmq_prometheus \
    && rm -rf /var/lib/rabbitmq/.erlang.cookie /var/lib/rabbitmq/mnesia \
    && chown -R rabbitmq:rabbitmq /etc/rabbitmq /var/log/rabbitmq /var/lib/rabbitmq
ENV RABBITMQ_LOGS=- HOME=/var/lib/rabbitmq
VOLUME /var/lib/rabbitmq
# Debian's own wrappers ask who we are, and refuse all but root and rabbitmq.
ENV PATH=/usr/lib/rabbitmq/bin:$PATH
CMD ["rabbitmq-server"]
