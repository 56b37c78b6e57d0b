#!/usr/bin/env bash
# Brings the jars of the Kafka that the tests run into build/kafka, once: needs Java and Maven.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh

wanted=scripts/kafka/pom.xml
jars=build/kafka
mkdir -p build
# Tests that run side by side need it at the same time.
exec 9>build/kafka.lock
flock 9
for program in java mvn; do
    command -v "$program" >/dev/null || fail "Found no $program, expected Java 17 or newer and Maven, for the Kafka of the tests:
  Debian, Ubuntu   sudo apt-get install default-jre-headless maven"
done
if [ -d $jars ] && cmp -s $wanted $jars/pom.xml; then
    exit 0
fi
rm -rf $jars $jars.new
timeout --kill-after=10 300 mvn --quiet --batch-mode --file $wanted dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$PWD/$jars.new" >&2 ||
    fail "Maven could not bring the jars of Kafka (status $?), expected a network and a repository that has them."
cp $wanted $jars.new/
mv $jars.new $jars
