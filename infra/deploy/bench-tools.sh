#!/usr/bin/env bash
# Installs what the measurements compare us with; where that is not possible, their lines say
# "skipped".
set -euo pipefail

[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
packages=()
# Voices, tunes, speech and an applause for the galas of bench/acts.py: all free, 90 MB.
sounds=(espeak-ng fluidsynth timgm6mb-soundfont openttd-openmsx planetblupi-music-midi
    asterisk-moh-opsound-wav frozen-bubble-data fretsonfire-songs-sectoid
    asterisk-core-sounds-{fr,es,ru,it}-gsm)
for package in nginx-light libnginx-mod-rtmp wrk "${sounds[@]}"; do
    dpkg -s "$package" >/dev/null 2>&1 || packages+=("$package")
done
[ ${#packages[@]} -gt 0 ] || exit 0
echo "installing ${packages[*]}…"
export DEBIAN_FRONTEND=noninteractive
# Only the programs: Debian would start nginx as a service.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
{ apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; } >/dev/null 2>&1 ||
    echo "not all of them could be installed"
