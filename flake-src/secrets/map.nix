# The one list of secrets: name -> place in the 1Password vault pantherOS, the
# way the vault is organised. No secret is here, only where it is.
#
# Modules ask for a secret by its name (pantherOS.security.secrets.opnix.items)
# and are given the path of a file. lib/secrets.nix makes the reference from the
# place: `authentication/tailscale/authKey` is
# op://pantherOS/authentication/tailscale/authKey, that is item, section, field.
# 1Password knows no sections in sections, so what lies deeper has the sections
# joined by dots: `credentials/storage/b2/keyId` is the field keyId in the
# section storage.b2 of the item credentials.
#
# validation.nix checks names, places and templates on every evaluation.
{
  # authentication
  tailscaleAuthKey = "authentication/tailscale/authKey";
  tailscaleNodeKey = "authentication/tailscale/nodeKey";
  githubToken = "authentication/github/token";
  githubWebhookSecret = "authentication/github/webhookSecret";
  sshWorkstationPrivateKey = "authentication/ssh/workstation/privateKey";
  sshWorkstationPublicKey = "authentication/ssh/workstation/publicKey";
  sshServerPrivateKey = "authentication/ssh/server/privateKey";
  sshServerPublicKey = "authentication/ssh/server/publicKey";

  # services
  datadogApiKey = "services/datadog/apiKey";
  datadogAppKey = "services/datadog/appKey";
  datadogHostUrl = "services/datadog/hostUrl";
  minimaxApiKey = "services/minimax/apiKey";
  minimaxBaseUrl = "services/minimax/baseUrl";
  minimaxBaseAnthropicUrl = "services/minimax/baseAnthropicUrl";
  zaiCodingApiKey = "services/zai-coding/apiKey";
  zaiCodingBaseUrl = "services/zai-coding/baseUrl";

  # credentials
  ovhApiKey = "credentials/cloud/ovh/apiKey";
  ovhSecret = "credentials/cloud/ovh/secret";
  hetznerApiKey = "credentials/cloud/hetzner/apiKey";
  hetznerSecret = "credentials/cloud/hetzner/secret";
  b2KeyId = "credentials/storage/b2/keyId";
  b2AppKey = "credentials/storage/b2/appKey";
  # Not in the brief's vault: restic encrypts with it before anything leaves.
  backupPassword = "credentials/storage/b2/backupPassword";
  backblazeKeyId = "credentials/storage/backblaze/keyId";
  backblazeAppKey = "credentials/storage/backblaze/appKey";
  postgresqlPassword = "credentials/databases/postgresql/password";
  postgresqlConnectionString = "credentials/databases/postgresql/connectionString";
  redisPassword = "credentials/databases/redis/password";
  redisConnectionString = "credentials/databases/redis/connectionString";

  # certificates
  sslCertificate = "certificates/ssl/crt";
  sslKey = "certificates/ssl/key";
  caCertificate = "certificates/ca/crt";
  caKey = "certificates/ca/key";
}
