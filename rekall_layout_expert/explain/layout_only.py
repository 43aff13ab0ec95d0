r"""Sources that know layouts and not what they were made of: where nothing is told of headers and conditions."""

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.explain.explanation import close_to, split_name
from rekall_layout_expert.explain.listing import listing
from rekall_layout_expert.explain.records import names_of

UNKNOWN = "// where the members are written, and under which conditions, is not known: there are no headers here, only layouts"


class LayoutOnly:
    """A source of `records.Rows`: subclasses know which names there are, and the rows of a name."""

    source = ""  # how messages call it
    big_endian = False

    def names(self):
        """The names of all structs."""
        raise NotImplementedError

    def rows(self, name):
        """The Rows of a struct; None if there is none of that name."""
        raise NotImplementedError

    def embedded(self, row):
        """The Rows of the record that a member embeds under that record's own name; None if it embeds none."""
        raise NotImplementedError

    def why_not(self, name):
        """The error for a name that there is not."""
        return LayoutExpertError("%s has no struct %s" % (self.source, name), next_step=close_to(name, self.names()))

    def lines(self, name):
        """The lines that show STRUCT or STRUCT.MEMBER.  Raises LayoutExpertError."""
        struct, members = split_name(name)
        rows = self.rows(struct)
        if rows is None:
            raise self.why_not(struct)
        if not members:
            return [*listing(rows, None, self.big_endian), "", UNKNOWN]
        base, path, row = 0, struct, None
        for member in members:
            if row is not None:
                base, rows = base + row.bit_offset, row.inner or self.embedded(row)
                if rows is None:
                    raise LayoutExpertError("%s is of type %s and has no members" % (path, row.type))
                base -= rows.base
            found = find_member(rows, member)
            if found is None:
                raise LayoutExpertError("%s has no member %s" % (path, member), next_step=close_to(member, names_of(rows)))
            path, row = "%s.%s" % (path, member), found
        return self._told(path, row, base + row.bit_offset)

    @staticmethod
    def _told(path, row, offset):
        width = ":%d" % row.width if row.width is not None else ""
        return [
            path, "", "\t%s %s%s;" % (row.type, row.declarator, width), "",
            "  offset      %d bytes (bit %d)" % (offset // 8, offset),
            "  size        %s" % ("%d bits" % row.width if row.width is not None else "%d bytes" % (row.size // 8)),
            "", UNKNOWN,
        ]  # fmt: skip


def find_member(rows, name):
    """The Row of a member by name, also inside anonymous records; None if there is none."""
    for row in rows.rows:
        if row.name == name:
            return row
        if row.name is None and row.inner is not None:
            found = find_member(row.inner, name)
            if found is not None:
                return found
    return None
