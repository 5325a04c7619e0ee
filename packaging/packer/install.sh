#!/bin/sh
# Installs HTCondor and annex-agent on the instance that becomes the image.  As root; running it again does no harm.
#   PACKAGE            annex-agent-*.noarch.rpm (Enterprise Linux, Amazon Linux), annex_agent-*.tar.gz (Debian, Ubuntu)
#   HTCONDOR_CHANNEL   a directory of HTCondor's repositories: 25.0 (the default), 25.x, 24.0
set -eu
: "${PACKAGE:?}" "${HTCONDOR_CHANNEL:=25.0}"
repositories=https://htcss-downloads.chtc.wisc.edu/repo
# shellcheck source=/dev/null
. /etc/os-release

die() {
    echo "install.sh: $*" >&2
    exit 1
}

# An image that has HTCondor keeps the one that it has.
has_htcondor() { command -v condor_master >/dev/null; }

install_on_enterprise_linux() {
    case $PACKAGE in *.rpm) ;; *) die "$PACKAGE is no RPM, and $PRETTY_NAME takes nothing else" ;; esac
    has_htcondor || htcondor_for_enterprise_linux
    dnf --assumeyes install "$PACKAGE"
}

htcondor_for_enterprise_linux() {
    case $ID in
    amzn) distribution=amzn$VERSION_ID ;;
    rhel)
        # Where Red Hat's CodeReady Builder comes from depends on the subscription.
        rpm --quiet --query epel-release || die "enable EPEL and CodeReady Builder first, HTCondor needs both"
        distribution=el${VERSION_ID%%.*}
        ;;
    *)
        dnf --assumeyes install epel-release dnf-plugins-core
        dnf config-manager --set-enabled crb
        distribution=el${VERSION_ID%%.*}
        ;;
    esac
    dnf --assumeyes install "$repositories/$HTCONDOR_CHANNEL/htcondor-release-current.$distribution.noarch.rpm"
    rpmkeys --import /etc/pki/rpm-gpg/RPM-GPG-KEY-HTCondor-*
    dnf --assumeyes install condor
}

install_on_debian() {
    case $PACKAGE in *.tar.gz) ;; *) die "$PACKAGE is no source archive; an RPM does not install on $PRETTY_NAME" ;; esac
    export DEBIAN_FRONTEND=noninteractive
    has_htcondor || htcondor_for_debian
    libraries="python3-requests python3-jinja2 python3-psutil python3-tenacity python3-yaml"
    # shellcheck disable=SC2086  # these are words
    install_debian_packages python3-pip python3-setuptools python3-wheel nftables $libraries
    unpacked=$(mktemp -d)
    tar --extract --file "$PACKAGE" --directory "$unpacked" --strip-components 1 --no-same-owner
    # The distribution's libraries are used, so nothing is downloaded, and they get its security updates.
    python3 -m venv --system-site-packages --without-pip /opt/annex-agent
    /opt/annex-agent/bin/python -m pip install --quiet --root-user-action=ignore \
        --no-index --no-deps --no-build-isolation --force-reinstall "$unpacked"
    ln -sfn /opt/annex-agent/bin/annex-agent /usr/bin/annex-agent
    install -D -m 0644 "$unpacked/docs/annex-agent.8" /usr/local/share/man/man8/annex-agent.8
    install_units "$unpacked"
    rm -rf "$unpacked"
}

htcondor_for_debian() {
    install_debian_packages curl ca-certificates
    install -d -m 0755 /etc/apt/keyrings
    curl --fail --silent --show-error --location --output /etc/apt/keyrings/htcondor.asc \
        "$repositories/keys/HTCondor-$HTCONDOR_CHANNEL-Key"
    curl --fail --silent --show-error --location --output /etc/apt/sources.list.d/htcondor.list \
        "$repositories/$ID/htcondor-$HTCONDOR_CHANNEL-$VERSION_CODENAME.list"
    apt-get update
    apt-get install --yes condor
}

install_debian_packages() {
    missing=
    for name; do
        dpkg-query --show --showformat='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing="$missing $name"
    done
    [ -n "$missing" ] || return 0
    apt-get update
    # shellcheck disable=SC2086  # these are words
    apt-get install --yes --no-install-recommends $missing
}

# What the RPM's scriptlets do elsewhere.
install_units() {
    [ -d "$1/init/systemd" ] || die "$PACKAGE has no init/systemd: it is not complete"
    cp -R "$1/init/systemd/." /etc/systemd/system/
    install -d -m 0755 /etc/systemd/system-preset
    mv /etc/systemd/system/*.preset /etc/systemd/system-preset/
    for file in /etc/systemd/system/*.tmpfiles; do
        [ ! -e "$file" ] || mv "$file" "/etc/tmpfiles.d/$(basename "$file" .tmpfiles).conf"
    done
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        # An earlier version's watch has no reason to stay.
        systemctl try-restart annex-agent-watch.service
    fi
    systemctl enable annex-agent.service annex-agent-watch.service
}

case $ID in
rocky | almalinux | centos | rhel | amzn) install_on_enterprise_linux ;;
debian | ubuntu) install_on_debian ;;
*) die "$PRETTY_NAME is not known here: install HTCondor and annex-agent by hand" ;;
esac
# Debian starts a service when its package is installed; on the builder it would be a pool of its own.
[ ! -d /run/systemd/system ] || systemctl stop condor.service
annex-agent --version
