{
  lib,
  buildGoModule,
  installShellFiles,
  # The commit that this is, if it is not that of the release.
  revision ? null,
  # When it was made, as 20261128235959.
  date ? null,
}:

let
  version = "0.2.0" + lib.optionalString (revision != null) "+${revision}";
  # The date as RFC 3339 has it.
  part = lib.elemAt (builtins.match "(.{4})(..)(..)(..)(..)(..)" date);
  buildDate = "${part 0}-${part 1}-${part 2}T${part 3}:${part 4}:${part 5}Z";
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
      ../CHANGELOG.md
      ../README.md
      ../docs
      ../go.mod
      ../go.sum
      ../grafana
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
  ]
  ++ lib.optional (date != null) "-X github.com/prometheus/common/version.BuildDate=${buildDate}";

  nativeBuildInputs = [ installShellFiles ];
  postInstall = ''
    installManPage docs/network-metrics-exporter.8
    installShellCompletion --cmd network-metrics-exporter \
      --bash systemd/completions/network-metrics-exporter.bash \
      --fish systemd/completions/network-metrics-exporter.fish \
      --zsh systemd/completions/_network-metrics-exporter
    mkdir -p $out/lib/systemd/system $out/share/network-metrics-exporter
    cp -r systemd/*.timer systemd/*.service systemd/*.service.d $out/lib/systemd/system
    sed -i "s,=\(-\?\)network-metrics-exporter ,=\1$out/bin/network-metrics-exporter ," $out/lib/systemd/system/*.service
    cp -r grafana $out/share/network-metrics-exporter
  '';

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
