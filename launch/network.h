/* Which address of this host the others reach. */
#ifndef ROWHOUSE_LAUNCH_NETWORK_H
#define ROWHOUSE_LAUNCH_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* Chooses an IPv4 address: the first in `cidr` (cluster.network), or, with cidr "", the
 * loopback address when all ranks are on one host, else the one address that is not
 * loopback. Across hosts loopback never fits. -ERR_INPUT names the addresses there are
 * when none fits, or several without a `cidr`. */
int network_choose(const char *cidr, bool one_host, char *address, size_t size,
                   struct err *err);

/* Binds a listening TCP socket to a free port of `address`; the endpoint
 * ("tcp://ADDRESS:PORT") goes to `endpoint`. The descriptor is inherited by children.
 */
int network_listen(const char *address, int *fd, char *endpoint, size_t size,
                   struct err *err);

/* A name of this host that differs between hosts, containers and network namespaces. */
void network_host_id(char *id, size_t size);

#endif
