# A stand-in for nixpkgs' lib where that cannot be had: what nix/ uses of it, by
# the same names, and what is needed to evaluate modules. Where it differs it is
# the stricter one: an option or an attribute of an option that it does not know
# is an error, and so is an option declared twice.
let
  inherit (builtins)
    all
    attrNames
    attrValues
    catAttrs
    concatLists
    concatMap
    concatStringsSep
    deepSeq
    elem
    elemAt
    filter
    foldl'
    functionArgs
    genList
    head
    intersectAttrs
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isPath
    isString
    length
    listToAttrs
    map
    mapAttrs
    match
    removeAttrs
    replaceStrings
    split
    stringLength
    substring
    tail
    toJSON
    ;

  showOption = concatStringsSep ".";
  isType = name: value: isAttrs value && value._type or null == name;

  # What mkIf and mkMerge at the root of a definition say is pushed down to its
  # attributes, so that a condition is not looked at before the option that it is
  # about: conditions depend on other options.
  pushDown =
    value:
    if isType "if" value then
      map (mapAttrs (_: lib.mkIf value.condition)) (pushDown value.content)
    else if isType "merge" value then
      concatMap pushDown value.contents
    else if isType "override" value then
      map (mapAttrs (_: lib.mkOverride value.priority)) (pushDown value.content)
    else
      [ value ];

  # What is left of a definition when its conditions are known, with priorities.
  discharge =
    value:
    if isType "if" value then
      if value.condition then discharge value.content else [ ]
    else if isType "merge" value then
      concatMap discharge value.contents
    else if isType "override" value then
      map (d: d // { inherit (value) priority; }) (discharge value.content)
    else
      [
        {
          inherit value;
          priority = 100;
        }
      ];

  # The value that the definitions of an option give, or null if there are none.
  mergeDefinitions =
    path: type: definitions:
    let
      discharged = concatMap discharge definitions;
      priority = foldl' (a: b: if a < b then a else b) 9999 (catAttrs "priority" discharged);
      values = catAttrs "value" (filter (d: d.priority == priority) discharged);
      bad = filter (value: !type.check value) values;
    in
    if values == [ ] then
      null
    else if bad != [ ] then
      throw "A definition for option `${showOption path}' is not of type `${type.description}'. Definition values: ${toJSON bad}"
    else
      { value = type.merge path values; };

  evalOption =
    path: option: definitions:
    let
      merged = mergeDefinitions path option.type (
        definitions ++ (if option ? default then [ (lib.mkOverride 1500 option.default) ] else [ ])
      );
    in
    if merged == null then
      throw "The option `${showOption path}' is used but not defined."
    else
      merged.value;

  # The configuration of a tree of options.
  evalTree =
    path: tree: definitions:
    if isType "option" tree then
      evalOption path tree definitions
    else
      let
        sets = concatMap pushDown definitions;
        unknown = concatMap (set: filter (name: !tree ? ${name}) (attrNames set)) sets;
      in
      if unknown != [ ] then
        throw "The option `${showOption (path ++ [ (head unknown) ])}' does not exist."
      else
        mapAttrs (name: branch: evalTree (path ++ [ name ]) branch (catAttrs name sets)) tree;

  mergeTrees =
    path: a: b:
    if isType "option" a || isType "option" b then
      throw "The option `${showOption path}' is already declared."
    else
      a
      // mapAttrs (
        name: branch: if a ? ${name} then mergeTrees (path ++ [ name ]) a.${name} branch else branch
      ) b;

  mergeEqual =
    path: values:
    if all (value: value == head values) values then
      head values
    else
      throw "The option `${showOption path}' has conflicting definition values: ${toJSON values}";

  mkType =
    description: check:
    {
      inherit description check;
      merge = mergeEqual;
    };

  attribute = "type default defaultText example description visible internal readOnly";

  lib = {
    inherit
      all
      attrNames
      attrValues
      concatLists
      concatMap
      concatStringsSep
      elem
      elemAt
      filter
      foldl'
      genList
      head
      isAttrs
      isList
      isString
      length
      listToAttrs
      mapAttrs
      match
      removeAttrs
      replaceStrings
      tail
      toJSON
      ;

    any = builtins.any;
    boolToString = value: if value then "true" else "false";
    concatStrings = concatStringsSep "";
    concatMapStringsSep =
      separator: f: list:
      concatStringsSep separator (map f list);
    filterAttrs =
      keep: set:
      removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
    genAttrs =
      names: f:
      listToAttrs (
        map (name: {
          inherit name;
          value = f name;
        }) names
      );
    getExe' = package: name: "${package}/bin/${name}";
    getExe = package: "${package}/bin/${package.meta.mainProgram}";
    groupBy = builtins.groupBy;
    hasInfix = infix: text: length (split (lib.escapeRegex infix) text) > 1;
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    escapeRegex =
      let
        special = lib.stringToCharacters "\\[{()^$?*+|.";
      in
      replaceStrings special (map (c: "\\${c}") special);
    stringToCharacters = text: genList (i: substring i 1 text) (stringLength text);
    imap0 = f: list: genList (i: f i (elemAt list i)) (length list);
    mapAttrs' = f: set: listToAttrs (lib.mapAttrsToList f set);
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    nameValuePair = name: value: { inherit name value; };
    mod = a: b: a - a / b * b;
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: list: if condition then list else [ ];
    optionalAttrs = condition: set: if condition then set else { };
    optionalString = condition: text: if condition then text else "";
    singleton = value: [ value ];
    splitString = separator: text: filter isString (split (lib.escapeRegex separator) text);
    unique = foldl' (list: value: if elem value list then list else list ++ [ value ]) [ ];

    # Sets of files as lists of them. fileFilter does not look into directories.
    fileset.fileFilter =
      keep: directory:
      map (name: directory + "/${name}") (
        filter (name: keep { hasExt = ext: match ".*\\.${ext}" name != null; }) (
          attrNames (builtins.readDir directory)
        )
      );
    fileset.unions = concatMap (file: if isList file then file else [ file ]);
    fileset.toSource = { root, fileset }: { inherit root fileset; };
    licenses.mit.spdxId = "MIT";
    platforms.linux = [
      "x86_64-linux"
      "aarch64-linux"
    ];

    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };
    mkOption =
      option:
      let
        unknown = filter (name: !elem name (lib.splitString " " attribute)) (attrNames option);
      in
      if unknown != [ ] then
        throw "mkOption has no attribute ${head unknown}"
      else
        option // { _type = "option"; };
    mkEnableOption =
      name:
      lib.mkOption {
        type = lib.types.bool;
        default = false;
        example = true;
        description = "Whether to enable ${name}.";
      };
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkOverride = priority: content: {
      _type = "override";
      inherit priority content;
    };
    mkDefault = lib.mkOverride 1000;
    mkForce = lib.mkOverride 50;

    types = {
      anything = mkType "anything" (_: true) // {
        merge =
          path: values:
          if all isAttrs values then
            foldl' (a: b: a // b) { } values
          else if all isList values then
            concatLists values
          else
            mergeEqual path values;
      };
      attrsOf =
        element:
        mkType "attribute set of ${element.description}" isAttrs
        // {
          merge =
            path: values:
            let
              sets = concatMap pushDown values;
              merge = name: mergeDefinitions (path ++ [ name ]) element (catAttrs name sets);
              names = filter (name: merge name != null) (lib.unique (concatMap attrNames sets));
            in
            lib.genAttrs names (name: (merge name).value);
        };
      bool = mkType "boolean" isBool;
      coercedTo =
        from: coerce: to:
        mkType "${to.description} or ${from.description} convertible to it" (
          value: from.check value || to.check value
        )
        // {
          merge = path: values: to.merge path (map (v: if from.check v then coerce v else v) values);
        };
      enum =
        values:
        mkType "one of ${concatStringsSep ", " (map toJSON values)}" (value: elem value values);
      int = mkType "signed integer" isInt;
      ints.between =
        low: high:
        mkType "integer between ${toString low} and ${toString high} (both inclusive)" (
          value: isInt value && low <= value && value <= high
        );
      lines = mkType "strings concatenated with \"\\n\"" isString // {
        merge = _: concatStringsSep "\n";
      };
      listOf =
        element:
        mkType "list of ${element.description}" isList
        // {
          merge =
            path: values:
            let
              merged = lib.imap0 (
                i: value: mergeDefinitions (path ++ [ "[definition 1-entry ${toString (i + 1)}]" ]) element [ value ]
              ) (concatLists values);
            in
            catAttrs "value" (filter (m: m != null) merged);
        };
      nonEmptyListOf =
        element:
        let
          list = lib.types.listOf element;
        in
        list
        // {
          description = "non-empty (${list.description})";
          check = value: list.check value && value != [ ];
        };
      nonEmptyStr = mkType "non-empty string" (value: isString value && match "[ \t\n]*" value == null);
      nullOr =
        element:
        mkType "null or ${element.description}" (value: value == null || element.check value)
        // {
          merge =
            path: values:
            if all (value: value == null) values then null else element.merge path (filter (v: v != null) values);
        };
      package = mkType "package" (value: isAttrs value && value.type or null == "derivation");
      path = mkType "absolute path" (
        value: isPath value || (isString value && lib.hasPrefix "/" value) || value ? outPath
      );
      port =
        mkType "16 bit unsigned integer; between 0 and 65535 (both inclusive)" (
          value: isInt value && 0 <= value && value <= 65535
        );
      str = mkType "string" isString;
      strMatching =
        pattern:
        mkType "string matching the pattern ${pattern}" (value: isString value && match pattern value != null);
      submodule =
        module:
        mkType "submodule" isAttrs
        // {
          merge =
            path: values:
            (evalIn path {
              modules = [ module ] ++ values;
              specialArgs = {
                inherit lib;
                name = elemAt path (length path - 1);
              };
            }).config;
        };
    };

    evalModules = evalIn [ ];
  };

  evalIn =
    path:
    { modules, specialArgs }:
    let
      load =
        module:
        let
          source = if isPath module then import module else module;
          body =
            if isFunction source then
              source (intersectAttrs (functionArgs source) arguments)
            else
              source;
          long = body ? config || body ? options;
          known = removeAttrs body [
            "config"
            "imports"
            "options"
          ];
        in
        if long && known != { } then
          throw "The module has an unsupported attribute `${head (attrNames known)}'."
        else
          [
            {
              key = if isPath module then toString module else null;
              options = body.options or { };
              config = if long then body.config or { } else removeAttrs body [ "imports" ];
            }
          ]
          ++ concatMap load (body.imports or [ ]);
      arguments = specialArgs // {
        inherit config;
      };
      # A file that is imported twice counts once.
      loaded = foldl' (
        list: m: if m.key != null && elem m.key (catAttrs "key" list) then list else list ++ [ m ]
      ) [ ] (concatMap load modules);
      options = foldl' (mergeTrees path) { } (catAttrs "options" loaded);
      config = evalTree path options (catAttrs "config" loaded);
    in
    {
      inherit config options;
    };
in
lib
