# docker build -t egalaxyd . && docker run -it -p 1965:1965 -p 300:3000 egalaxyd
#
#   -v ~/capsule:/root/public      serve your own folder
#   -v egalaxyd:/var/lib/egalaxyd  keep certificates and users when the container goes
#   -v ~/etc:/etc/egalaxyd         serve what the egalaxyd.toml in there says
# Arguments go to egalaxyd: docker run … egalaxyd --host example.org
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY . .
RUN ./bootstrap package
RUN mkdir /tree && tar -C /tree --strip-components=1 -xf build/release/packages/egalaxyd-*.tar.gz

FROM debian:bookworm-slim
COPY --from=build /tree /usr/local
COPY examples/capsule /root/public
# All of it runs as one account without any privilege, which may pass through /root.
RUN useradd --system --user-group --uid 1965 --home-dir /var/lib/egalaxyd --shell /usr/sbin/nologin egalaxyd && \
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
