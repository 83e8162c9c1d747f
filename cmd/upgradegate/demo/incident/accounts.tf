# Who may use the key of the machine images: an account's business, not a cluster's.
resource "aws_kms_grant" "cluster_launches" {
  name              = "ecs-cluster-launches"
  key_id            = "KEY"
  grantee_principal = "ROLE"
  operations = [
    "Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
    "DescribeKey", "CreateGrant",
  ]
}
