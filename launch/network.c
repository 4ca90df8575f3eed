#include "launch/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 1024, LIST_MAX = 512 };

struct choice {
    uint32_t network, mask; /* host order; mask 0 = any but loopback */
    bool any, loopback;     /* is loopback one that fits? */
    char address[INET_ADDRSTRLEN];
    int found;
    char list[LIST_MAX]; /* all addresses, for the sentence */
};

static bool is_loopback(uint32_t address)
{
    return address >> 24 == 127;
}

/* "10.0.0.0/8" to network and mask. */
static int parse_cidr(const char *cidr, struct choice *choice, struct err *err)
{
    char text[64], *slash, *end;
    struct in_addr address;
    long bits = 32;

    snprintf(text, sizeof text, "%s", cidr);
    slash = strchr(text, '/');
    if (slash) {
        *slash = '\0';
        bits = strtol(slash + 1, &end, 10);
        if (end == slash + 1 || *end || bits < 0 || bits > 32)
            goto bad;
    }
    if (inet_pton(AF_INET, text, &address) != 1)
        goto bad;
    choice->mask = bits ? ~0u << (32 - bits) : 0;
    choice->network = ntohl(address.s_addr) & choice->mask;
    return 0;
bad:
    return err_set(err, ERR_INPUT,
                   "cluster.network is '%s', expected an IPv4 network like 10.0.0.0/8",
                   cidr);
}

static void consider(struct choice *choice, const struct ifaddrs *entry)
{
    const struct sockaddr_in *in =
        (const struct sockaddr_in *)(const void *)entry->ifa_addr;
    uint32_t address = ntohl(in->sin_addr.s_addr);
    char text[INET_ADDRSTRLEN];
    size_t used = strlen(choice->list);

    inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    snprintf(choice->list + used, sizeof choice->list - used, "%s%s (%s)",
             used ? ", " : "", text, entry->ifa_name);
    if ((is_loopback(address) && !choice->loopback) ||
        (!choice->any && (address & choice->mask) != choice->network))
        return;
    if (choice->found++ == 0)
        memcpy(choice->address, text, sizeof text);
}

int network_choose(const char *cidr, bool one_host, char *address, size_t size,
                   struct err *err)
{
    struct choice choice = {.any = cidr[0] == '\0', .loopback = one_host};
    struct ifaddrs *list;

    if (choice.any && one_host) {
        snprintf(address, size, "127.0.0.1");
        return 0;
    }
    if (!choice.any && parse_cidr(cidr, &choice, err))
        return -err->code;
    if (!choice.any && is_loopback(choice.network) && choice.mask && !one_host)
        return err_set(
            err, ERR_INPUT,
            "cluster.network is %s, but the ranks are on several hosts, which "
            "cannot reach each other's loopback",
            cidr);
    if (getifaddrs(&list))
        return err_system(err, "cannot list this host's network interfaces");
    for (const struct ifaddrs *i = list; i; i = i->ifa_next)
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP))
            consider(&choice, i);
    freeifaddrs(list);
    if (choice.found == 0)
        return err_set(err, ERR_INPUT,
                       "no address of this host is in cluster.network %s; it has %s",
                       choice.any ? "(any but loopback)" : cidr, choice.list);
    if (choice.any && choice.found > 1)
        return err_set(
            err, ERR_INPUT,
            "this host has several networks; set cluster.network to choose one "
            "of %s",
            choice.list);
    snprintf(address, size, "%s", choice.address);
    return 0;
}

int network_listen(const char *address, int *fd, char *endpoint, size_t size,
                   struct err *err)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t length = sizeof in;
    int s = socket(AF_INET, SOCK_STREAM, 0);

    if (s < 0)
        return err_system(err, "cannot make a socket");
    if (inet_pton(AF_INET, address, &in.sin_addr) != 1 ||
        bind(s, (struct sockaddr *)&in, sizeof in) || listen(s, BACKLOG) ||
        getsockname(s, (struct sockaddr *)&in, &length)) {
        err_system(err, "cannot listen on %s", address);
        close(s);
        return -err->code;
    }
    snprintf(endpoint, size, "tcp://%s:%u", address, ntohs(in.sin_port));
    *fd = s;
    return 0;
}

void network_host_id(char *id, size_t size)
{
    char boot[64] = "", host[64] = "";
    struct stat space = {0};
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");

    if (file) {
        if (!fgets(boot, sizeof boot, file))
            boot[0] = '\0';
        fclose(file);
    }
    boot[strcspn(boot, "\n")] = '\0';
    gethostname(host, sizeof host - 1);
    if (stat("/proc/self/ns/net", &space))
        space.st_ino = 0;
    snprintf(id, size, "%s/%s/%lu", host, boot, (unsigned long)space.st_ino);
}
