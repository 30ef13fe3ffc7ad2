#!/bin/sh
# usage: upstream.sh FOLDER PORT CORE
# The app server behind every proxy: nginx on loopback PORT, pinned to CORE, in a folder of its own
# below FOLDER, which holds upstream.conf. It is told its port, so that Luisito can start it too.
set -eu
run="$1/$2"
mkdir "$run"
sed "s|@PORT@|$2|g; s|@FOLDER@|$1|g" "$1/upstream.conf" > "$run/nginx.conf"
exec taskset -c "$3" nginx -p "$run" -c nginx.conf -e stderr -g 'daemon off;'
