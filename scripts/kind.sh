#!/usr/bin/env bash
# Makes a Kubernetes in a container for the end-to-end tests: kind (its network enforces network
# policies), the KubeRay operator and the image. A cluster that is there already is used again.
#
#   make image IMAGE=localhost/rsc:dev
#   scripts/tools.sh .tools && export PATH=$PWD/.tools:$PATH
#   export KUBECONFIG=$PWD/.tools/kubeconfig
#   make kind && make e2e
#   kind delete cluster --name rsc
#
# Other settings, by environment: KUBERAY=1.6.2, RSC_IMAGE=localhost/rsc:dev, and
# RSC_IMAGE_ARCHIVE=rsc.tar, where the image is a file and not in Docker.
set -euo pipefail

# The image that the release notes of kind 0.33.0 name for Kubernetes 1.34.
node=kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d
kuberay=${KUBERAY:-1.7.0}
image=${RSC_IMAGE:-localhost/rsc:dev}

# The commits of KubeRay's tags; its chart is taken from there.
case $kuberay in
  1.6.2) commit=598eb66aa077c55ae04fa87b192238a3ec184e88 ;;
  1.7.0) commit=59d663aeec13760646da3db9c1cf8cfe883e30b7 ;;
  *)
    echo "scripts/kind.sh: KUBERAY was $kuberay, must be 1.6.2 or 1.7.0" >&2
    exit 1
    ;;
esac

if ! kind get clusters 2> /dev/null | grep -qx rsc; then
  kind create cluster --name rsc --image "$node" --wait 3m
fi
kind export kubeconfig --name rsc

if [ -n "${RSC_IMAGE_ARCHIVE:-}" ]; then
  kind load image-archive "$RSC_IMAGE_ARCHIVE" --name rsc
else
  kind load docker-image "$image" --name rsc
fi

source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
git -C "$source" init --quiet
git -C "$source" fetch --quiet --depth 1 https://github.com/ray-project/kuberay "$commit"
git -C "$source" checkout --quiet FETCH_HEAD -- helm-chart/kuberay-operator
helm upgrade --install kuberay-operator "$source/helm-chart/kuberay-operator" \
  --namespace kuberay-system --create-namespace --wait --timeout 5m
kubectl get nodes,pods --all-namespaces --output wide
