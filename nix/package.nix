{
  lib,
  buildGoModule,
  # The commit that this is, if it is not that of the release.
  revision ? null,
}:

let
  version = "0.1.0" + lib.optionalString (revision != null) "+${revision}";
in
buildGoModule {
  pname = "network-metrics-exporter";
  inherit version;

  # What is built and what its tests read: a change of anything else, the module
  # for one, builds nothing anew.
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      (lib.fileset.fileFilter (file: file.hasExt "go") ../.)
      ../README.md
      ../docs
      ../go.mod
      ../go.sum
      ../sources
      ../state
      ../systemd
      ../testdata
    ];
  };

  # nix hash path of what go mod vendor makes; make test says what it has to be.
  vendorHash = "sha256-srAer9LfAQCD5HDyamPykwUStF2Vtq9YNPAgUl8N2SU=";

  env.CGO_ENABLED = 0;

  ldflags = [
    "-s"
    "-w"
    "-X github.com/prometheus/common/version.Version=${version}"
  ];

  # Tests need neither network nor rights. Those of the kernel are none of a
  # builder's, whose kernel it is not that will route.
  env.NAMESPACES = "none";

  meta = {
    description = "Per-client network metrics for Linux routers, for Prometheus' node_exporter";
    license = lib.licenses.mit;
    mainProgram = "network-metrics-exporter";
    platforms = lib.platforms.linux;
  };
}
