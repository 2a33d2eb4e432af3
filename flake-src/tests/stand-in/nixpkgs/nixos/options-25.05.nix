# Written by hand: what this flake sets on the older release alone, and what the
# newer one of the table has no more.
{
  release = "25.05";
  options.services.journald.remote.listen = 0;
  types = [
    [
      "enum"
      [
        "https"
        "http"
      ]
    ]
  ];
}
