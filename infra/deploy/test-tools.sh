#!/usr/bin/env bash
# Installs what tests need besides Python: Chromium, GStreamer, a Chinese font, LibreOffice (opens
# our Excel and Word files), espeak-ng (speaks between acts). Where that is not possible, the tests
# that need it skip and say so.
set -euo pipefail
python=$1

have() { command -v "$1" >/dev/null; }
chromium() { have chromium || have chromium-browser || have google-chrome; }
root_apt() { [ "$(id -u)" = 0 ] && have apt-get; }

packages=()
chromium || packages+=(chromium)
have gst-launch-1.0 || packages+=(gstreamer1.0-tools)
have gst-inspect-1.0 && gst-inspect-1.0 hlsdemux >/dev/null 2>&1 ||
    packages+=(gstreamer1.0-plugins-good gstreamer1.0-plugins-bad)
have fc-list && [ -n "$(fc-list :lang=zh)" ] || packages+=(fontconfig fonts-noto-cjk)
have espeak-ng || packages+=(espeak-ng)
have soffice || packages+=(libreoffice-calc-nogui libreoffice-writer-nogui)

if [ ${#packages[@]} -gt 0 ] && root_apt; then
    echo "installing ${packages[*]}…"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    apt-get update >"$log" 2>&1 &&
        apt-get install -y --no-install-recommends "${packages[@]}" >>"$log" 2>&1 ||
        { tail -n 5 "$log"; echo "not all of them could be installed"; }
    rm -f "$log"
fi
if ! chromium && ! ls "$HOME"/.cache/ms-playwright/chromium* >/dev/null 2>&1; then
    echo "downloading Chromium…"
    timeout 600 "$python" -m playwright install chromium >/dev/null 2>&1 ||
        echo "Chromium could not be downloaded: browser tests will be skipped"
fi
