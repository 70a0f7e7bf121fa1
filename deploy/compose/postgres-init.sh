#!/bin/bash
# At the first start: an account that owns its own database and nothing else.
set -euo pipefail
password=$(cat /run/symphony/symphony.password)
psql --quiet --username postgres --set ON_ERROR_STOP=1 --set password="$password" <<'SQL'
CREATE ROLE symphony LOGIN PASSWORD :'password';
CREATE DATABASE symphony OWNER symphony;
REVOKE ALL ON DATABASE symphony, postgres, template1 FROM PUBLIC;
SQL
