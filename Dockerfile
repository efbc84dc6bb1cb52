# The server on a CPU: docker build -t florence2 . && docker run --rm -p 127.0.0.1:8000:8000 florence2
# A model of the Hub needs network, or the cache as a volume: -v florence2-cache:/home/app/.cache
FROM python:3.12-slim

# --build-arg PIP_EXTRA_INDEX_URL=...: PyTorch's index of builds without CUDA, a tenth of the size.
ARG PIP_EXTRA_INDEX_URL

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir -c constraints.txt '.[serve]' \
    && useradd --create-home app
USER app

EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["florence2"]
CMD ["serve", "--model", "nano", "--host", "0.0.0.0", "--port", "8000"]
