# By default the challenge's image, which is the runtime and nothing else; with `--target files` one that also reads and
# writes people's own files; with `--target serve` one that serves viewers.
FROM python:3.11-slim AS runtime

# The order of the layers is the order in which they change: libraries, weights, code.
WORKDIR /workspace
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp

# One layer, so that what is deleted takes no room. OpenVINO ships plug-ins for hardware and readers for formats that
# this image never meets, and telemetry; OpenCV ships video libraries that its core links against, which therefore stay.
COPY requirements.lock .
RUN pip install --no-cache-dir --no-compile --no-deps --require-hashes -r requirements.lock \
 && packages=$(python -c "import numpy; print(numpy.__path__[0] + '/..')") \
 && cd "$packages" \
 && rm -rf openvino/include openvino/cmake openvino/tools openvino/torch openvino/libs/cache.json \
           openvino/libs/libopenvino_intel_gpu_plugin.so openvino/libs/libopenvino_intel_npu_plugin.so \
           openvino/libs/libopenvino_auto_plugin.so openvino/libs/libopenvino_auto_batch_plugin.so \
           openvino/libs/libopenvino_hetero_plugin.so openvino/libs/libopenvino_c.so* \
           cv2/data numpy/_core/tests numpy/*/tests numpy/_core/include numpy/f2py numpy/tests \
 && find openvino/libs -name 'libopenvino_*_frontend.so*' ! -name '*onnx*' ! -name '*ir_frontend*' -delete \
 && find . -name '*.pyi' -delete \
 && python -m compileall -q openvino numpy cv2 \
 && cd /workspace && python -c "import cv2, numpy, openvino; openvino.Core().get_property('CPU', 'FULL_DEVICE_NAME')"

COPY weights weights
COPY container/sbom.py container/
RUN python container/sbom.py > sbom.json
# By name: the folders for what needs more than these libraries stay out.
COPY inference/*.py inference/py.typed inference/
COPY inference/cases inference/cases
COPY inference/model inference/model
COPY inference/segment inference/segment
COPY LICENSE predict.sh ./

# Compile the models once, here, so that a start only loads them. On another CPU the cache is not found, and not used.
RUN python -m compileall -q inference && python -m inference.warm_cache && chmod -R a+rX /workspace

# VERSION is that of inference/__init__.py. Where the sources lie and which commit this is, whoever builds says.
ARG VERSION=0.1.0
ARG SOURCE=
ARG REVISION=
LABEL org.opencontainers.image.title="QMedSAM" \
      org.opencontainers.image.description="Box-prompted medical image segmentation on a plain CPU, in 8 bits" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0 AND LicenseRef-QMedSAM-weights"


FROM runtime AS files

COPY requirements-files.lock .
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements-files.lock
COPY inference/files inference/files
RUN python -m compileall -q inference/files && python container/sbom.py > sbom.json && chmod -R a+rX /workspace
# Files are named from any folder, whose Python modules stay out.
ENV PYTHONPATH=/workspace PYTHONSAFEPATH=1
USER 1000:1000
CMD ["python", "-m", "inference", "segment", "--help"]


FROM runtime AS serve

COPY requirements-serve.lock .
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements-serve.lock
COPY inference/serve inference/serve
RUN python -m compileall -q inference/serve && python container/sbom.py > sbom.json && chmod -R a+rX /workspace
# All of the container's addresses, since its own are not the machine's; hence it asks for a token.
ENV QMEDSAM_HOST=0.0.0.0
EXPOSE 1527
USER 1000:1000
ENTRYPOINT ["python", "-m", "inference"]
CMD ["serve"]


FROM runtime AS challenge

USER 1000:1000
CMD ["sh", "predict.sh"]
