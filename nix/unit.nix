# Reads unit files, so that the units of NixOS are those of systemd/. A list of
# paths is a unit and its drop-ins. Gives { Unit = { Key = value; }; Service = …; }:
# a value is a string, or a list where a key stands more than once, which NixOS
# writes as the lines that it came from.
{ lib }:

paths:
let
  isComment = line: builtins.match "[#;].*" line != null;
  lines = lib.filter (line: line != "" && !isComment line) (
    lib.concatMap (
      path: lib.splitString "\n" (lib.replaceStrings [ "\\\n" ] [ " " ] (builtins.readFile path))
    ) paths
  );

  add =
    { section, unit }:
    line:
    let
      header = builtins.match "\\[(.*)]" line;
      assignment = builtins.match "([A-Za-z]+)=(.*)" line;
      key = lib.head assignment;
      value = lib.elemAt assignment 1;
      values = unit.${section}.${key} or [ ];
    in
    if header != null then
      {
        section = lib.head header;
        inherit unit;
      }
    else if assignment != null then
      {
        inherit section;
        unit = unit // {
          ${section} = unit.${section} or { } // {
            ${key} = values ++ [ value ];
          };
        };
      }
    else
      throw "unit.nix: neither a section nor an assignment: ${line}";

  parsed = lib.foldl' add {
    section = null;
    unit = { };
  } lines;
in
lib.mapAttrs (
  _: lib.mapAttrs (_: values: if lib.length values == 1 then lib.head values else values)
) parsed.unit
