# One dispatcher: docker build -t sanic-dispatch . && docker run -p 2567:2567 -v data:/data sanic-dispatch

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY sanic_dispatch sanic_dispatch
COPY static static
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --quiet --no-cache-dir .

FROM python:3.12-slim
RUN useradd --system --uid 2567 --no-create-home dispatch \
    && install --directory --owner dispatch --group dispatch /data /backups
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 SANIC_DISPATCH_DATA_DIR=/data
USER dispatch
VOLUME /data
EXPOSE 2567

# Port and TLS: set them as variables or in the file of SANIC_DISPATCH_CONFIG rather than as options,
# so that this check knows them.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["sanic-dispatch", "health"]

ENTRYPOINT ["sanic-dispatch"]
CMD ["serve"]
