#!/usr/bin/env bash
# Installs the programs that tests of the chart, of docker/ and on a cluster call, in the versions
# that are tested, for Linux on x86-64. What is downloaded is compared with the checksum below.
#
#   scripts/tools.sh FOLDER [PROGRAM...]     no program named: all of them
#   PATH=FOLDER:$PATH make test
set -euo pipefail

# program, address, SHA-256 of what is there, and where the program lies if that is an archive
programs() {
  cat <<'END'
actionlint https://github.com/rhysd/actionlint/releases/download/v1.7.12/actionlint_1.7.12_linux_amd64.tar.gz 8aca8db96f1b94770f1b0d72b6dddcb1ebb8123cb3712530b08cc387b349a3d8 actionlint
helm https://get.helm.sh/helm-v4.3.0-linux-amd64.tar.gz 86584a54def73570558f66f5111cc53dfed56689637ae32c1201205d494f54fb linux-amd64/helm
helm-docs https://github.com/norwoodj/helm-docs/releases/download/v1.14.2/helm-docs_1.14.2_Linux_x86_64.tar.gz a8cf72ada34fad93285ba2a452b38bdc5bd52cc9a571236244ec31022928d6cc helm-docs
kind https://github.com/kubernetes-sigs/kind/releases/download/v0.33.0/kind-linux-amd64 aee6151561422756b764a4ae28e7f44cda5af5a9eead3cc9985112b1de8d8e0d
kubeconform https://github.com/yannh/kubeconform/releases/download/v0.8.0/kubeconform-linux-amd64.tar.gz 9bc2bffbf71f261128533edaf912153948b7ff238f9a531ae6d34466ec287883 kubeconform
kubectl https://dl.k8s.io/release/v1.34.11/bin/linux/amd64/kubectl 8efbb9435132a190920eb65a47a8c1ecf755ad85ab57a600c9bedbab460bb7a8
promtool https://github.com/prometheus/prometheus/releases/download/v3.8.1/prometheus-3.8.1.linux-amd64.tar.gz a09972ced892cd298e353eb9559f1a90f499da3fb4ff0845be352fc138780ee7 prometheus-3.8.1.linux-amd64/promtool
versitygw https://github.com/versity/versitygw/releases/download/v1.8.0/versitygw_v1.8.0_Linux_x86_64.tar.gz 2ba2c734d10d2c4e651d03182cb4b246656bc735a2f282db7b0b73fba6073467 versitygw_v1.8.0_Linux_x86_64/versitygw
END
}

if [ $# -eq 0 ]; then
  echo "scripts/tools.sh: no folder was given, it must be the first argument" >&2
  exit 1
fi
folder=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$folder"

install_program() { # program address checksum [member]
  curl --fail --silent --show-error --location --proto '=https' --retry 3 \
    --output "$scratch/download" "$2"
  echo "$3  $scratch/download" | sha256sum --check --quiet
  if [ -n "${4:-}" ]; then
    tar --extract --gzip --to-stdout --file "$scratch/download" "$4" > "$scratch/program"
  else
    mv "$scratch/download" "$scratch/program"
  fi
  install -m 0755 "$scratch/program" "$folder/$1"
  echo "$folder/$1"
}

for name in "${@:-}"; do
  if [ -n "$name" ] && ! programs | grep -q "^$name "; then
    echo "scripts/tools.sh: $name was not in the list, must be one of:" >&2
    programs | cut -d ' ' -f 1 >&2
    exit 1
  fi
done
while read -r name address checksum member; do
  case " $* " in
    "  " | *" $name "*) install_program "$name" "$address" "$checksum" "$member" ;;
  esac
done < <(programs)
