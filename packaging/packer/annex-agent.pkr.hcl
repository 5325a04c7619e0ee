# An AMI whose instances become execute nodes of your HTCondor pool: docs/building-an-ami.md says how to use this.
# plugins.pkr.hcl beside it is for `packer init`.

variable "region" {
  type        = string
  description = "Where the AMI is made: an AMI lives in one region."
  default     = "us-east-1"
}

variable "source_ami_name" {
  type        = string
  description = "The stock image to start from; the newest that matches is taken."
  default     = "Rocky-9-EC2-Base-9.*.x86_64"
}

variable "source_ami_owner" {
  type        = string
  description = "The account that publishes it: anyone may give an image that name."
  default     = "792107900819"
}

variable "ssh_username" {
  type        = string
  description = "The stock image's user: rocky, ec2-user (AlmaLinux, Amazon Linux), admin (Debian)."
  default     = "rocky"
}

variable "ssh_source_cidr" {
  type        = string
  description = "From where Packer connects: SSH to the builder is open to these addresses only."
}

variable "subnet_id" {
  type        = string
  description = "Empty: the default VPC's."
  default     = ""
}

variable "instance_type" {
  type        = string
  description = "Only for the build; workers may be of any type of the same architecture."
  default     = "t3.small"
}

variable "package" {
  type        = string
  description = "annex-agent-*.noarch.rpm, or for Debian and Ubuntu annex_agent-*.tar.gz."
}

variable "htcondor_channel" {
  type        = string
  description = "A directory of HTCondor's repositories: 25.0, 25.x, 24.0."
  default     = "25.0"
}

variable "central_manager" {
  type        = string
  description = "Empty: every launch names one in user-data, and check_with is needed."
  default     = ""
}

variable "check_with" {
  type        = string
  description = "For an image that names no central manager: the one that the builder tries."
  default     = ""
}

variable "trust_domain" {
  type        = string
  description = "The pool's TRUST_DOMAIN, as condor_config_val TRUST_DOMAIN says on the central manager."
}

variable "token_file" {
  type        = string
  description = "A file with an IDTOKEN of the pool that may advertise a startd and a master, and nothing else."
  sensitive   = true
}

locals {
  staging = "/tmp/annex-agent-image"
  purpose = "annex-agent-image"
  run     = "sudo env {{ .Vars }} sh {{ .Path }}"
  settings = [
    "STAGING=${local.staging}",
    "PACKAGE=${local.staging}/${basename(var.package)}",
    "TOKEN_FILE=${local.staging}/token",
    "HTCONDOR_CHANNEL=${var.htcondor_channel}",
    "CENTRAL_MANAGER=${var.central_manager}",
    "CHECK_WITH=${var.check_with}",
    "TRUST_DOMAIN=${var.trust_domain}",
  ]
}

source "amazon-ebs" "worker" {
  region        = var.region
  subnet_id     = var.subnet_id
  instance_type = var.instance_type
  source_ami_filter {
    filters = {
      name                = var.source_ami_name
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = [var.source_ami_owner]
    most_recent = true
  }

  ssh_username                          = var.ssh_username
  temporary_security_group_source_cidrs = [var.ssh_source_cidr]
  # Packer's own key must not be in the image.
  ssh_clear_authorized_keys = true

  # For the builder.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  ami_name        = "annex-agent-${formatdate("YYYYMMDD-hhmmss", timestamp())}"
  ami_description = "HTCondor ${var.htcondor_channel} execute node with annex-agent"
  # For every instance of the AMI whose launch does not say otherwise.
  imds_support = "v2.0"

  # packaging/aws/iam-policy.json lets Packer stop and remove only what bears this tag.
  run_tags        = { Purpose = local.purpose }
  run_volume_tags = { Purpose = local.purpose }
  tags            = { Purpose = local.purpose, SourceAMI = "{{ .SourceAMI }}" }
}

build {
  sources = ["source.amazon-ebs.worker"]

  # What is uploaded is nobody else's to read, the token least of all.
  provisioner "shell" {
    inline = ["mkdir -m 0700 ${local.staging}"]
  }
  provisioner "file" {
    source      = var.package
    destination = "${local.staging}/${basename(var.package)}"
  }
  provisioner "file" {
    source      = var.token_file
    destination = "${local.staging}/token"
  }
  provisioner "shell" {
    environment_vars = local.settings
    execute_command  = local.run
    scripts = [
      "${path.root}/install.sh",
      "${path.root}/bake.sh",
      "${path.root}/check.sh",
    ]
  }
  # Stays the last one: whatever runs after it is in the image.
  provisioner "shell" {
    environment_vars = local.settings
    execute_command  = local.run
    script           = "${path.root}/clean.sh"
  }
}
