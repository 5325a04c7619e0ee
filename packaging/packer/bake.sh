#!/bin/sh
# Puts into the image what its workers need to be believed by the pool.  As root.
#   TOKEN_FILE        an IDTOKEN; it is removed from there
#   TRUST_DOMAIN      the pool's, as the token's issuer says
#   CENTRAL_MANAGER   optional: without it, every launch names one in user-data
set -eu
: "${TOKEN_FILE:?}" "${TRUST_DOMAIN:?}" "${CENTRAL_MANAGER:=}"

[ -s "$TOKEN_FILE" ] || {
    echo "bake.sh: $TOKEN_FILE is empty; make a token on the central manager with condor_token_create" >&2
    exit 1
}
install -d -m 0700 /etc/condor/tokens.d
install -m 0600 "$TOKEN_FILE" /etc/condor/tokens.d/pool
rm -f "$TOKEN_FILE"

# A token is shown only to daemons of its own trust domain; the default would be this host's name.
install -d -m 0755 /etc/condor/config.d /etc/annex-agent
printf 'TRUST_DOMAIN = %s\n' "$TRUST_DOMAIN" >/etc/condor/config.d/50-pool.config
chmod 0644 /etc/condor/config.d/50-pool.config

if [ -n "$CENTRAL_MANAGER" ]; then
    printf 'central_manager: "%s"\n' "$CENTRAL_MANAGER" >/etc/annex-agent/config.yaml
    chmod 0644 /etc/annex-agent/config.yaml
fi
