#!/bin/sh
# Debian packages that only the browser tests need. As root they are installed; otherwise they are named and
# the tests that need them skip with the reason.
set -eu
missing=""
command -v chromium >/dev/null || missing="$missing chromium"
[ -e /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ] || missing="$missing fonts-noto-cjk"
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
fi
echo "some tests will be skipped; install:$missing | 部分测试将跳过，请安装：$missing" >&2
