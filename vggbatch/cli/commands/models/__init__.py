"""The commands of `vggbatch models`."""
