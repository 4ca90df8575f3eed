#include "worker/stream/schema.h"

#include <string.h>

int schema_add(struct schema *schema, const char *name, enum value_kind kind)
{
    struct schema_column *column = &schema->column[schema->columns];

    *column = (struct schema_column){.kind = (uint8_t)kind};
    snprintf(column->name, sizeof column->name, "%s", name);
    return (int)schema->columns++;
}

int schema_find(const struct schema *schema, const char *name)
{
    for (uint32_t i = 0; i < schema->columns; i++)
        if (strcmp(schema->column[i].name, name) == 0)
            return (int)i;
    return SCHEMA_NONE;
}
