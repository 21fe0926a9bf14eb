"""The words of SQL that tell a statement's parts apart, and which of them a database reserves."""

from __future__ import annotations

from guard.attribution.lexer import words

QUERIES = words("select with values table")
CHANGES = words("insert update delete merge")
STARTERS = QUERIES | CHANGES | {"replace"}
#: Statements that use tables whole, and none of their columns unless they name them.
WHOLE = words("""
    truncate lock analyze vacuum pragma show explain describe desc check optimize repair
""")
#: Statements that use no table, whatever they name.
HARMLESS = words("""
    begin start commit rollback end abort savepoint release reset use listen notify unlisten discard deallocate close
    fetch move checkpoint
""")
CREATED_HOW = words("or replace global local temp temporary unlogged materialized recursive")
EXPLAIN = words("explain describe desc analyze")
EXPLAIN_OPTIONS = EXPLAIN | words("""
    verbose query plan extended partitions format json tree traditional xml yaml text
""")
#: What stands behind EXPLAIN and its options where a statement is explained.
EXPLAINED = STARTERS | words("create declare copy (")
#: Functions that run or read SQL given as text, or a table given by its name.
DYNAMIC = words("""
    query_to_xml query_to_xmlschema query_to_xml_and_xmlschema table_to_xml table_to_xmlschema
    table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema database_to_xml
    database_to_xmlschema database_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema dblink dblink_exec dblink_open
    dblink_send_query ts_stat ts_rewrite crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby xpath_table
""")
#: Words that are never a name where an expression is expected, unquoted, or hardly ever.
NO_NAME = words("""
    select from where and or not in is null group having on as case when then else end order by union all distinct
    exists between like ilike rlike regexp glob escape similar any some asc desc nulls limit using join cross left right
    full inner outer natural isnull notnull true false into array interval collate for div mod xor default with over
    partition filter within lateral only
""")
#: Words behind which an operand may stand, or a part of their own: never an operand themselves, or hardly ever.
BEFORE_OPERAND = (NO_NAME - words("end null true false isnull notnull")) | words("""
    all at time zone local operator of member sounds symmetric asymmetric to set value values interval from returning
    distinctrow straight_join high_priority sql_small_result sql_big_result sql_buffer_result sql_no_cache sql_cache
    sql_calc_found_rows binary match against only nulls ignore respect group uescape variadic row array cast not except
    first next fetch do zone without unique prior any some exists use for offset window current
""")
#: Words that are no alias after a table, unless AS stands before them.
NO_ALIAS = NO_NAME | words("""
    intersect except minus window offset fetch set values value returning straight_join use force ignore tablesample
    indexed lock procedure overriding do
""")
#: What may follow a `*` that stands for columns.
AFTER_STAR = words("""
    from into where union intersect except minus order limit group having window offset fetch for returning on lock
    procedure
""")
LOCKS = words("update share no key")
JOINS = words("join inner left right full cross")
SET_OPERATIONS = words("union intersect except minus")
FLOW = (
    words("""
    from straight_join natural join on using where group having order limit window set value returning into for when
    then case end replace
""")
    | QUERIES
    | CHANGES
    | SET_OPERATIONS
)
IN_JOINS = words("join straight_join natural on using")
UNITS = words("""
    microsecond microseconds millisecond milliseconds second seconds minute minutes hour hours day days week weeks month
    months quarter year years decade century millennium epoch dow isodow doy isoyear julian timezone
""")

_RESERVED_EVERYWHERE = words("""
    select from where and or not in null group having on as case when then else order union all distinct into table
    limit using is
""")
_RESERVED = {
    "postgresql": _RESERVED_EVERYWHERE
    | words("""
    analyse analyze any array asc asymmetric authorization both cast check collate column constraint create cross
    current_date current_time current_timestamp current_user default deferrable desc do end except false fetch for
    foreign freeze full grant ilike initially inner intersect isnull join lateral leading left like localtime
    localtimestamp natural notnull offset only outer overlaps placing primary references returning right session_user
    similar some symmetric tablesample to trailing true unique user variadic verbose window with
"""),
    "sqlite": _RESERVED_EVERYWHERE
    | words("""
    add alter between check collate commit constraint create default deferrable delete drop escape foreign index insert
    isnull join notnull primary references returning set to transaction unique update values
"""),
}
_RESERVED_MYSQL = _RESERVED_EVERYWHERE | words("""
    add alter analyze asc before between both by call cascade change check collate column condition constraint convert
    create cross database default delayed delete desc describe distinctrow div drop dual each else explain false fetch
    for force foreign grant high_priority ignore index inner insert interval join key keys lateral leading left like
    load lock low_priority match mod natural optimize option out outer partition primary procedure range read references
    regexp rename repeat replace require restrict return revoke right rlike schema set show straight_join terminated
    then to trailing trigger true undo unique unlock update usage use values varying when window with write xor
""")


def reserved(vendor: str) -> frozenset[str]:
    """Words that cannot be a name in this database unless they are quoted."""
    return _RESERVED.get(vendor, _RESERVED_MYSQL)
