# docker build -t egalaxyd . && docker run -it -p 1965:1965 -p 300:3000 egalaxyd --host example.org
#
#   -v ~/capsule:/root/public      serve your own folder
#   -v egalaxyd:/var/lib/egalaxyd  keep certificates and users when the container goes
#   -v ~/etc:/etc/egalaxyd         and, behind the image's name, --system: serve what the
#                                  egalaxyd.toml in there says
# Arguments go to egalaxyd. Without --host it answers every name, and its certificate names the
# container.
#
# It runs as uid 1965, which must be able to read what is mounted (chmod -R a+rX ~/capsule) and to
# write the volume: a new named volume it can. With --user "$(id -u):$(id -g)" mount a folder of that
# account: -v ~/state:/var/lib/egalaxyd
#
# Several hosts that share a database: egalaxyd-postgresql is in it; `docker run --rm ... --entrypoint
# egalaxyctl egalaxyd certificate sync --config /etc/egalaxyd/egalaxyd.toml` comes before the server.
#
# All libraries are Debian's packages: a new build has their security updates (docker build
# --no-cache), and `egalaxyctl status` tells which OpenSSL and SQLite run.
#
# The base is named by digest, so that the same one is built on until somebody changes this line. The
# digest of today's: docker buildx imagetools inspect debian:bookworm-slim
ARG BASE=debian:bookworm-slim@sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716
FROM ${BASE} AS build
WORKDIR /src
COPY . .
RUN ./bootstrap package
RUN mkdir /packages && cp build/release/packages/egalaxyd_*.deb \
      build/release/packages/egalaxyd-postgresql_*.deb /packages

FROM ${BASE}
COPY --from=build /packages /packages
COPY examples/capsule /root/public
# All of it runs as one account without any privilege, which may pass through /root. The package's
# configuration is not for a container.
RUN useradd --system --user-group --uid 1965 --home-dir /var/lib/egalaxyd --shell /usr/sbin/nologin egalaxyd && \
    apt-get update -qq && export DEBIAN_FRONTEND=noninteractive && apt-get upgrade -y -qq && \
    apt-get install -y -qq --no-install-recommends \
      systemd-standalone-sysusers systemd-standalone-tmpfiles /packages/*.deb && \
    rm -rf /packages /var/lib/apt/lists/* /etc/egalaxyd/egalaxyd.toml && \
    install -d -m 0750 -o egalaxyd -g egalaxyd /var/lib/egalaxyd && \
    chown -R egalaxyd:egalaxyd /root/public && chmod 0711 /root
USER egalaxyd
WORKDIR /root/public
# The volume is all that is written to: the container may be --read-only.
ENV STATE_DIRECTORY=/var/lib/egalaxyd RUNTIME_DIRECTORY=/var/lib/egalaxyd/run
VOLUME /var/lib/egalaxyd
EXPOSE 1965 3000
HEALTHCHECK --start-period=10s CMD ["egalaxyctl", "status"]
ENTRYPOINT ["egalaxyd"]
