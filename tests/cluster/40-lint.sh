#!/bin/bash
# `make lint`: each of its rules is broken once in a small copy, and must complain.
. "$(dirname "$0")/lib.sh"

H=$T/house
mkdir -p "$H"/{common/net,server,worker/{model,stream/{packed,prepare,profile,spool,text}},launch,proto,tests/tools,docs}
for room in common common/net server worker worker/model worker/stream \
    worker/stream/{packed,prepare,profile,spool,text} launch proto tests; do
    echo "# $room" > "$H/$room/README.md"
done
cp Makefile .clang-format .clang-tidy "$H"
cp common/err.[ch] "$H/common"
cp -r tests/tools/. "$H/tests/tools"
for file in common/file.h common/net/port.h server/core.h worker/client.h worker/keyset.h \
    worker/stream/records.h; do
    echo '#include "common/err.h"' > "$H/$file"
done
cat > "$H/server/server.c" << 'END'
#include "common/err.h"
#include "common/net/port.h"
#include "server/core.h"

/* It may speak of strcpy(x, y) and "sprintf(a, b)" as long as it does not call them. */
int server_serve(struct err *err)
{
#ifndef MUTANT_NOTHING
    if (!err)
        return -1;
#endif
    return err_set(err, ERR_PEER, "%s", "strcat(x, y)");
}
END
echo '| `NOTHING` | what it is | `tools/lint` |' > "$H/docs/testing.md"

# lint CHECK ...: in the copy
lint() {
    run "$H/tests/tools/lint" "$@"
}

# broken CHECK FILE REGEX NAME: with standard input behind FILE, CHECK complains about it
broken() {
    local was

    [ -e "$H/$2" ] && was=$(cat "$H/$2")
    cat >> "$H/$2"
    lint "$1"
    [ "$status" -eq 1 ] && [[ $out =~ $3 ]]
    ok $? "$4" "to find: $3"
    if [ -n "${was+x}" ]; then
        echo "$was" > "$H/$2"
    else
        rm "$H/$2"
    fi
}

lint includes sizes habits
ended 0 'a tidy house passes'
lint nonsense
ended 2 'a check that does not exist is an error' nonsense

# --- includes
broken includes server/server.c 'server.c:14: includes worker/client.h, but server/ must not know worker/' \
    'the server does not see the worker' <<< '#include "worker/client.h"'
broken includes worker/client.h 'must not know server/' \
    'the worker does not see the server' <<< '#include "server/core.h"'
broken includes common/file.h 'common/ must not know common/net/' \
    'common does not see common/net' <<< '#include "common/net/port.h"'
broken includes common/net/port.h 'common/net/ must not know server/' \
    'nor common/net the server' <<< '#include "server/core.h"'
broken includes worker/model/net.h 'worker/model/ must not know common/net/' \
    'nor the model the network' <<< '#include "common/net/port.h"'
broken includes worker/stream/records.h 'worker/stream/ must not know worker/' \
    'nor the stream the worker' <<< '#include "worker/keyset.h"'
broken includes server/core.h 'server/ must not know launch/' \
    'nobody sees launch' <<< '#include "launch/run.h"'
for pin in zmq.h:server/server.c mpi.h:server/server.c cblas.h:worker/keyset.h \
    yaml.h:common/file.h proto/wire.pb-c.h:common/net/port.h \
    proto/manifest.pb-c.h:server/server.c zstd.h:worker/client.h; do
    broken includes "${pin#*:}" "includes ${pin%:*}, which is for" \
        "${pin%:*} has its one file" <<< "#  include <${pin%:*}>"
done
broken includes worker/model/layer.c 'includes <pthread.h>, which has no place in worker/model/' \
    'no threads in the model' <<< '#include <pthread.h>'
broken includes worker/stream/records.h 'includes <sys/socket.h>, which has no place' \
    'no sockets in the stream' <<< '#include <sys/socket.h>'
broken includes server/core.h 'core.h:2: includes common/file.h, but it must run without' \
    'no files in the core' <<< '#include "common/file.h"'
broken includes server/core.c 'core.c:3: calls clock_ms\(\), but it must run without' \
    'no clock in the core' <<< $'int core_now(void)\n{\n    return clock_ms();\n}'
broken includes server/server.c 'write includes from the root' \
    'includes are written from the root' <<< '#include "core.h"'
broken includes stray.c 'is in no room' 'a source lies in a room' <<< 'int stray;'

# --- sizes
{
    echo 'int long_one(void)'
    echo '{'
    yes '    /* line */' | head -68
    echo '}'
} > "$T/function"
broken sizes server/server.c 'server.c:14: long_one\(\) has 71 lines, at most 70' \
    'a function has at most 70 lines' < "$T/function"
sed 3d "$T/function" > "$H/server/just.c"
lint sizes
ended 0 'and may have 70'
rm "$H/server/just.c"
yes '/* line */' | head -801 > "$T/file"
broken sizes common/long.c 'long.c: has 801 lines, at most 800' 'a file has at most 800' \
    < "$T/file"

# --- habits
for call in strcpy strcat sprintf vsprintf strtok gets; do
    broken habits server/core.c "core.c:1: $call\(\) is banned" "$call() is banned" \
        <<< "void f(char *s) { $call(s, s); }"
done
for call in exit _exit abort; do
    broken habits worker/client.c "client.c:1: $call\(\) below launch/" \
        "no $call() below launch/" <<< "void f(void) { $call(1); }"
done
broken habits server/core.c 'TO''DO: do it now' 'nothing is left for later' <<< '/* TO''DO */'
broken habits server/core.c 'does not list the safeguard FORGOTTEN' \
    'a safeguard is in docs/testing.md' <<< '#ifndef MUTANT_FORGOTTEN'
broken habits docs/testing.md 'lists GONE, which no source has' \
    'and what is there is in a source' <<< '| `GONE` | nothing | `tools/lint` |'
broken habits docs/testing.md 'says that unit/test_x notices NOTHING, but there is no such' \
    'with a test that there is' <<< '| `NOTHING` | nothing | `tools/lint`, `unit/test_x` |'
rm "$H/worker/README.md"
lint habits
ended 1 'a room without README is found'
like "$out" 'worker: has no README.md' 'and named'
echo '#' > "$H/worker/README.md"

# --- what needs programs of its own (make lint installs them)
if command -v clang-format-14 > /dev/null; then
    lint format
    ended 0 'what clang-format likes passes'
    broken format server/server.c 'server.c: line 14 is not laid out' 'a bad layout is found' \
        <<< 'int  badly_laid( void );'
else
    skip 'no clang-format-14' 'format'
fi
if command -v cppcheck > /dev/null; then
    lint cppcheck
    ended 0 'what cppcheck likes passes'
    broken cppcheck server/core.c 'core.c:3: .*arrayIndexOutOfBounds' \
        'cppcheck finds a write behind an array' \
        <<< $'void core_f(void) {\n    int a[4];\n    a[4] = 1;\n}'
else
    skip 'no cppcheck' 'cppcheck'
fi
if command -v clang-tidy-14 > /dev/null; then
    lint tidy
    ended 0 'what clang-tidy likes passes'
    broken tidy server/server.c 'server.c:.*NullDereference' 'clang-tidy finds a NULL' \
        <<< $'int serve_null(int *p)\n{\n    return p ? 1 : *p;\n}'
else
    skip 'no clang-tidy-14' 'tidy'
fi
done_testing
