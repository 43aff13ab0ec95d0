"""The plugin `layout_expert`: makes and stores a profile on request, and shows how it came about."""
from __future__ import annotations

import json
import os
import sys

from rekall import plugin
from rekall.ui import text

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.plugin.detection import LayoutExpertDetection
from rekall_layout_expert.plugin.failure import give_up
from rekall_layout_expert.plugin.options import SOURCE_OPTIONS, Named, Sources


class LayoutExpert(plugin.TypedProfileCommand, plugin.Command):
    """Makes a profile for the running Linux kernel, or for another one whose files are named.

    Rekall does by itself what this does without arguments, once it meets a kernel that it has no
    profile for: `rekall -f /proc/kcore pslist` is enough. Use this command to see each stage with
    its time, to make a profile anew, or to write one to a file:

      rekall layout_expert
      rekall -f IMAGE --config_file_path CONFIG --system SYSTEM_MAP layout_expert
      rekall layout_expert --config_file_path CONFIG --system SYSTEM_MAP --pre_ast PRE_AST --output PROFILE.json
      rekall layout_expert --explain task_struct.comm
      rekall layout_expert --collect HOST.zip          (on the host; elsewhere: rekall -f IMAGE --from HOST.zip pslist)
    """

    name = "layout_expert"

    __args = [
        dict(name="pre_ast", help="The Pre-AST to use. Without it, the one that fits is looked for in Rekall's "
             "repositories and those of --pre_ast_repository, and is built from installed kernel headers or the distribution's "
             "headers package."),
        dict(name="config_file_path", help="The kernel's configuration. Without it, the running kernel's "
             "(/proc/config.gz, /boot/config-RELEASE and others)."),
        dict(name="system", help="System.map of the kernel, or a copy of its /proc/kallsyms. Without it, the "
             "running kernel's."),
        dict(name="output", help="Write the profile to this file, as JSON, and do not store it in the repository."),
        dict(name="build", help="Build the Pre-AST from this folder: unpacked or installed kernel headers "
             "(/lib/modules/RELEASE/build), or kernel source."),
        dict(name="randstruct_seed", help="Of a kernel with CONFIG_RANDSTRUCT: the seed, 64 hexadecimal digits, or the file "
             "that holds them in the tree in which the kernel was built. Without it, the seed in the headers, if there."),
        dict(name="explain", help="Make no profile: show this STRUCT as pahole does, or everything about STRUCT.MEMBER: "
             "the header and line, the conditions and macros that put it there."),
        dict(name="structs", default="rekall", help="Which structs: `rekall` (those that its plugins read, and what "
             "they need), `all`, or names separated by commas."),
        dict(name="collect", help="Make no profile: write to this ZIP file what is needed to analyse an image of this host on "
             "another machine: configuration, symbols, what the kernel says of itself and, if they are here, BTF and Pre-AST."),
        dict(name="from", help="Take all that from a file that --collect wrote."),
        *SOURCE_OPTIONS,
    ]

    table_header = [
        dict(name="stage", width=14),
        dict(name="seconds", width=8, align="r"),
        # The name of a profile fits.
        dict(name="what", width=76),
        dict(name="detail"),
    ]

    # Where the profile is to be written; None to store it in the repository.
    _output = None

    def column_types(self):
        return dict(stage="", seconds=0.0, what="", detail="")

    def render(self, renderer):
        if self.plugin_args.explain:
            for line in self._explained():
                if isinstance(renderer, text.TextRenderer):
                    renderer.write(line + "\n")  # format() would break it
                else:
                    renderer.format("{0}\n", line)
            return
        # Rekall takes --output to be where to write the table, and gives the plugin nothing of it.
        self._output = self.plugin_args.output or getattr(renderer, "output", None)
        # Before the table's head is written: a failure has a line of its own, and no table.
        rows = list(self.collect())
        if not self._output:
            self._show(rows, renderer)
            return
        with text.TextRenderer(session=self.session, fd=sys.stdout).start() as terminal:
            self._show(rows, terminal)

    def _show(self, rows, renderer) -> None:
        renderer.table_header(self.table_header)
        for row in rows:
            renderer.table_row(*row)

    def collect(self):
        from rekall_layout_expert.plugin.profile_maker import Stages
        self._output = self._output or self.plugin_args.output
        stages = Stages(self.session)
        try:
            self._run(stages)
        except LayoutExpertError as error:
            self._remove_empty_output()
            give_up(self.session, error)
        yield from stages.passed

    def _run(self, stages) -> None:
        from rekall_layout_expert.files import write_atomically
        from rekall_layout_expert.plugin import analysis, kernel_btf
        from rekall_layout_expert.plugin.collecting import collect
        from rekall_layout_expert.plugin.profile_maker import make
        from rekall_layout_expert.plugin.repositories import local_repositories, store_profile
        from rekall_layout_expert.plugin.subject import collected_kernel, named_kernel, running_kernel

        if self.plugin_args.collect:
            collect(self.session, self._memory(), self._named(), self.plugin_args.collect,
                    Sources.in_options(self.session, self.plugin_args), stages)
            return
        structs = self.plugin_args.structs
        if not self._output and structs not in ("rekall", "all"):
            raise LayoutExpertError("a profile of chosen structs would not do for Rekall's plugins and is not stored",
                                    next_step="write it to a file with --output")
        named = self._named()
        memory = self._memory()
        is_of_files = not memory and not named.collected and self._output and named.config_file_path and named.system
        if memory:
            named = named.or_beside(str(self.session.GetParameter("filename")))
            subject = analysis.subject_in(self.session, memory, named, stages)
        else:
            subject = named_kernel(named) if is_of_files else collected_kernel(named) if named.collected else \
                running_kernel(named, with_location=False)
            stages.done("kernel", subject.kernel.release, subject.config.source)
        repositories = local_repositories(self.session)
        data = make(subject, repositories, stages, structs, self.plugin_args.build, self.plugin_args.randstruct_seed,
                    Sources.in_options(self.session, self.plugin_args),
                    lambda: kernel_btf.read_btf(memory, subject, subject.symbols.addresses))
        if memory and not self._output:
            analysis.register(LayoutExpertDetection(session=self.session), subject, data, repositories, stages)
            return
        if not is_of_files:
            section = kernel_btf.read_btf(memory, subject, data["$CONSTANTS"])
            kernel_btf.complete(self.session, data, section, stages)
            kernel_btf.verify(self.session, data, section, stages, has_memory=False)
            kernel_btf.tell(self.session, data, stages)
        if self._output:
            write_atomically(self._output, json.dumps(data, sort_keys=True).encode("ascii"))
            stages.done("written", self._output, "")
        else:
            name = subject.profile_name()
            stages.done("stored", name, store_profile(self.session, repositories, name, data) or "not stored")

    def _remove_empty_output(self) -> None:
        """Removes the file for the profile that Rekall has opened, to append to it, before there was anything to write."""
        if self._output and os.path.isfile(self._output) and not os.path.getsize(self._output):
            os.unlink(self._output)

    def _explained(self):
        """The lines that explain what the user asked for."""
        from rekall_layout_expert.errors import printable_lines
        from rekall_layout_expert.plugin.explanation import explained

        arguments = self.plugin_args
        try:
            return printable_lines(
                explained(self.session, self._memory(), self._named(), arguments.build, arguments.explain,
                          Sources.in_options(self.session, arguments)))
        except LayoutExpertError as error:
            give_up(self.session, error)

    def _named(self) -> Named:
        """The files that the user named, as the plugin's options or as Rekall's."""
        return Named.in_options(self.session, self.plugin_args)

    def _memory(self):
        """Rekall's physical address space of the image or of /proc/kcore; None if -f was not given."""
        filename = self.session.GetParameter("filename")
        if filename and not self.session.physical_address_space:
            self.session.plugins.load_as().GetPhysicalAddressSpace()
            if not self.session.physical_address_space:
                raise LayoutExpertError(f"cannot read {filename} as an image of memory")
        return self.session.physical_address_space
