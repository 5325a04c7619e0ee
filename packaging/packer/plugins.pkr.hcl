# What `packer init` installs.  In a file of its own: Packer before 1.7 knows no such block, and has the plugin built in.
packer {
  required_version = ">= 1.7.0"
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.2"
    }
  }
}
